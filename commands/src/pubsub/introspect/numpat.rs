//! PUBSUB NUMPAT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "NUMPAT",
    group: Group::PubSub,
    summary: "How many different patterns somebody listens to.",
    complexity: "O(N)",
    arity: 2,
    args: &[],
    flags: &["pubsub", "loading", "stale"],
    reply: "a number",
    examples: &[("PUBSUB NUMPAT", "(integer) 1")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.patterns()))
}
