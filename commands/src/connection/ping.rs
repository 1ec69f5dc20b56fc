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
    reply: "PONG as a status, or the message as a bulk string; where the connection listens to channels under RESP2 an array of \
            `pong` and the message",
    examples: &[("PING", "PONG"), ("PING hello", "\"hello\"")],
    run: Run::Session(ping),
    ..Command::BLANK
};

fn ping(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let client = session.client();
    if client.is_subscriber() && client.protocol == 2 && args.len() <= 2 {
        // What comes over a connection that listens is a message.
        let message = args.from(1).first().cloned().unwrap_or_default();
        return Ok(Reply::Array(vec![Reply::constant("pong"), Reply::Bulk(message)]));
    }
    match args.len() {
        1 => Ok(Reply::Simple("PONG".into())),
        2 => Ok(Reply::Bulk(args.bytes(1).clone())),
        _ => Err(CommandError::arity("ping")),
    }
}
