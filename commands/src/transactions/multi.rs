//! MULTI.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MULTI",
    group: Group::Transactions,
    summary: "Begins a transaction: the commands that follow are queued until EXEC.",
    complexity: "O(1)",
    arity: 1,
    args: &[],
    flags: &["noscript", "loading", "stale", "fast", "allow_busy"],
    reply: "OK",
    examples: &[("MULTI", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if !session.begin() {
        return Err(CommandError::err("MULTI calls can not be nested"));
    }
    Ok(Reply::OK)
}
