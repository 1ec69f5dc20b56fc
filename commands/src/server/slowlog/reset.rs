//! SLOWLOG RESET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RESET",
    group: Group::Server,
    summary: "Forgets the commands that took long. Their ids are not used again.",
    complexity: "O(n), n being the number of commands kept",
    arity: 2,
    flags: &["admin", "loading", "stale"],
    reply: "OK",
    examples: &[("SLOWLOG RESET", "OK")],
    run: Run::Session(reset),
    ..Command::BLANK
};

fn reset(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.forget_slow_commands();
    Ok(Reply::OK)
}
