//! PUBLISH.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Channels, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PUBLISH",
    group: Group::PubSub,
    summary: "Sends a message to everyone who listens to a channel.",
    complexity: "O(N) of the receivers and the patterns that begin as the channel does",
    arity: 3,
    args: &[Arg::string("channel"), Arg::string("message")],
    flags: &["pubsub", "loading", "stale", "fast", "may_replicate"],
    reply: "how many deliveries that are",
    examples: &[("PUBLISH news hello", "(integer) 1")],
    channels: Channels::First,
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.publish(false, args.bytes(1), args.bytes(2))))
}
