//! SPUBLISH.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Channels, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SPUBLISH",
    group: Group::PubSub,
    summary: "Sends a message to everyone who listens to a shard channel.",
    complexity: "O(N) of the receivers",
    arity: 3,
    args: &[Arg::string("shardchannel"), Arg::string("message")],
    flags: &["pubsub", "loading", "stale", "fast", "may_replicate"],
    reply: "how many deliveries that are",
    examples: &[("SPUBLISH news hello", "(integer) 1")],
    channels: Channels::First,
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.publish(true, args.bytes(1), args.bytes(2))))
}
