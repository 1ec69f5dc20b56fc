//! FUNCTION KILL.

use crate::args::Args;
use crate::context::Session;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "KILL",
    group: Group::Scripting,
    summary: "Would end a function, of which none runs.",
    arity: 2,
    args: &[],
    flags: &["noscript"],
    reply: "the error NOTBUSY",
    examples: &[("FUNCTION KILL", "NOTBUSY No scripts in execution right now.")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(CommandError::new(ErrorCode::NotBusy, "No scripts in execution right now."))
}
