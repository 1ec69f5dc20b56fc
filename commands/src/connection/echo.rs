//! ECHO.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "ECHO",
    group: Group::Connection,
    summary: "Answers the message it was given.",
    arity: 2,
    args: &[Arg::string("message")],
    flags: &["loading", "stale", "fast"],
    reply: "the message",
    examples: &[("ECHO hello", "\"hello\"")],
    run: Run::Session(echo),
    ..Command::BLANK
};

fn echo(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Bulk(args.bytes(1).clone()))
}
