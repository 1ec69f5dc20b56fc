//! UNWATCH.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "UNWATCH",
    group: Group::Transactions,
    summary: "Watches nothing any more.",
    complexity: "O(1)",
    arity: 1,
    args: &[],
    flags: &["noscript", "loading", "stale", "fast", "allow_busy"],
    reply: "OK",
    examples: &[("UNWATCH", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.unwatch();
    Ok(Reply::OK)
}
