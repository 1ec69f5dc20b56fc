//! PUBSUB SHARDCHANNELS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SHARDCHANNELS",
    group: Group::PubSub,
    summary: "The shard channels that somebody listens to.",
    complexity: "O(N)",
    arity: -2,
    args: &[Arg::new("pattern", ArgKind::Pattern).optional()],
    flags: &["pubsub", "loading", "stale"],
    reply: "array of the shard channels that match the glob",
    examples: &[("PUBSUB SHARDCHANNELS", "1) \"orders\"")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    super::channels(args, session, true)
}
