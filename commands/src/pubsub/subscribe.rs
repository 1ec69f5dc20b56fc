//! SUBSCRIBE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Subscription;
use crate::spec::{Arg, ArgKind, Channels, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SUBSCRIBE",
    group: Group::PubSub,
    summary: "Listens to channels.",
    complexity: "O(N) of the names given",
    arity: -2,
    args: &[Arg::new("channel", ArgKind::String).multiple()],
    flags: &["pubsub", "noscript", "loading", "stale"],
    reply: "for each channel a message of its own: `subscribe`, its name, how many channels and patterns the connection listens to",
    examples: &[("SUBSCRIBE news", "1) \"subscribe\" 2) \"news\" 3) (integer) 1")],
    channels: Channels::All,
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::subscribe(args, session, Subscription::Channel, "subscribe"))
}
