//! PING.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PING",
    group: Group::Connection,
    summary: "Answers PONG, or the message it was given.",
    arity: -1,
    args: &[Arg::string("message").optional()],
    flags: &["fast"],
    reply: "PONG as a status, or the message as a bulk string",
    examples: &[("PING", "PONG"), ("PING hello", "\"hello\"")],
    run: Run::Session(ping),
    ..Command::BLANK
};

fn ping(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    match args.len() {
        1 => Ok(Reply::Simple("PONG".into())),
        2 => Ok(Reply::Bulk(args.bytes(1).clone())),
        _ => Err(CommandError::arity("ping")),
    }
}
