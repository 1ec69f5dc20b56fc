//! PUBSUB SHARDNUMSUB.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SHARDNUMSUB",
    group: Group::PubSub,
    summary: "How many listen to shard channels.",
    complexity: "O(N)",
    arity: -2,
    args: &[Arg::string("shardchannel").optional().multiple()],
    flags: &["pubsub", "loading", "stale"],
    reply: "flat array of each shard channel and how many listen to it",
    examples: &[("PUBSUB SHARDNUMSUB orders", "1) \"orders\" 2) (integer) 1")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::receivers(args, session, true))
}
