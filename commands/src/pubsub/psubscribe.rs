//! PSUBSCRIBE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Subscription;
use crate::spec::{Arg, ArgKind, Channels, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PSUBSCRIBE",
    group: Group::PubSub,
    summary: "Listens to all channels that match the globs.",
    complexity: "O(N) of the names given",
    arity: -2,
    args: &[Arg::new("pattern", ArgKind::Pattern).multiple()],
    flags: &["pubsub", "noscript", "loading", "stale"],
    reply: "for each pattern a message of its own: `psubscribe`, its name, how many channels and patterns the connection listens to",
    examples: &[("PSUBSCRIBE news.*", "1) \"psubscribe\" 2) \"news.*\" 3) (integer) 1")],
    channels: Channels::Patterns,
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::subscribe(args, session, Subscription::Pattern, "psubscribe"))
}
