//! UNSUBSCRIBE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Subscription;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "UNSUBSCRIBE",
    group: Group::PubSub,
    summary: "Stops listening to channels; without arguments to all of them.",
    complexity: "O(N) of the names given",
    arity: -1,
    args: &[Arg::new("channel", ArgKind::String).optional().multiple()],
    flags: &["pubsub", "noscript", "loading", "stale"],
    reply: "for each channel a message of its own: `unsubscribe`, its name, how many channels and patterns are left; with a null for the name when there was none",
    examples: &[("UNSUBSCRIBE news", "1) \"unsubscribe\" 2) \"news\" 3) (integer) 0")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::unsubscribe(args, session, Subscription::Channel, "unsubscribe"))
}
