//! SSUBSCRIBE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Subscription;
use crate::spec::{Arg, ArgKind, Channels, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SSUBSCRIBE",
    group: Group::PubSub,
    summary: "Listens to shard channels, which patterns do not match.",
    complexity: "O(N) of the names given",
    arity: -2,
    args: &[Arg::new("shardchannel", ArgKind::String).multiple()],
    flags: &["pubsub", "noscript", "loading", "stale"],
    reply: "for each shard channel a message of its own: `ssubscribe`, its name, how many shard channels the connection listens to",
    examples: &[("SSUBSCRIBE orders", "1) \"ssubscribe\" 2) \"orders\" 3) (integer) 1")],
    channels: Channels::All,
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::subscribe(args, session, Subscription::Shard, "ssubscribe"))
}
