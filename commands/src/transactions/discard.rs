//! DISCARD.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DISCARD",
    group: Group::Transactions,
    summary: "Forgets the commands that were queued, and what is watched.",
    complexity: "O(1)",
    arity: 1,
    args: &[],
    flags: &["noscript", "loading", "stale", "fast", "allow_busy"],
    reply: "OK",
    examples: &[("DISCARD", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if !session.discard() {
        return Err(CommandError::err("DISCARD without MULTI"));
    }
    Ok(Reply::OK)
}
