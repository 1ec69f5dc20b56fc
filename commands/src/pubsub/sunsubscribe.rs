//! SUNSUBSCRIBE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Subscription;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SUNSUBSCRIBE",
    group: Group::PubSub,
    summary: "Stops listening to shard channels; without arguments to all of them.",
    complexity: "O(N) of the names given",
    arity: -1,
    args: &[Arg::new("shardchannel", ArgKind::String).optional().multiple()],
    flags: &["pubsub", "noscript", "loading", "stale"],
    reply: "for each shard channel a message of its own: `sunsubscribe`, its name, how many shard channels are left; with a null for the name when there was none",
    examples: &[("SUNSUBSCRIBE orders", "1) \"sunsubscribe\" 2) \"orders\" 3) (integer) 0")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::unsubscribe(args, session, Subscription::Shard, "sunsubscribe"))
}
