//! PUBSUB NUMSUB.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "NUMSUB",
    group: Group::PubSub,
    summary: "How many listen to channels, patterns not counted.",
    complexity: "O(N)",
    arity: -2,
    args: &[Arg::string("channel").optional().multiple()],
    flags: &["pubsub", "loading", "stale"],
    reply: "flat array of each channel and how many listen to it",
    examples: &[("PUBSUB NUMSUB news", "1) \"news\" 2) (integer) 1")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(super::receivers(args, session, false))
}
