//! PUBSUB CHANNELS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "CHANNELS",
    group: Group::PubSub,
    summary: "The channels that somebody listens to.",
    complexity: "O(N)",
    arity: -2,
    args: &[Arg::new("pattern", ArgKind::Pattern).optional()],
    flags: &["pubsub", "loading", "stale"],
    reply: "array of the channels that match the glob",
    examples: &[("PUBSUB CHANNELS news*", "1) \"news\"")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    super::channels(args, session, false)
}
