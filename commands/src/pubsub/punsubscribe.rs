//! PUNSUBSCRIBE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Subscription;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PUNSUBSCRIBE",
    group: Group::PubSub,
    summary: "Stops listening to patterns; without arguments to all of them.",
    complexity: "O(N) of the names given",
    arity: -1,
    args: &[Arg::new("pattern", ArgKind::Pattern).optional().multiple()],
    flags: &["pubsub", "noscript", "loading", "stale"],
    reply: "for each pattern a message of its own: `punsubscribe`, its name, how many channels and patterns are left; with a null for the name when there was none",
    examples: &[("PUNSUBSCRIBE news.*", "1) \"punsubscribe\" 2) \"news.*\" 3) (integer) 0")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::unsubscribe(args, session, Subscription::Pattern, "punsubscribe"))
}
