//! EVAL.

use super::{first_argument, is_broadcast, no_scripts};
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EVAL",
    group: Group::Scripting,
    summary: "Does what the script of Laravel's broadcaster does: publishes the first argument to the channels that follow. \
              There is no other script that it runs.",
    complexity: "O(N) of the deliveries",
    arity: -3,
    args: &[
        Arg::string("script"),
        Arg::integer("numkeys"),
        Arg::new("key", ArgKind::Key).optional().multiple(),
        Arg::string("arg").optional().multiple(),
    ],
    flags: &["noscript", "stale", "may_replicate", "no_mandatory_keys", "movablekeys"],
    reply: "null",
    examples: &[("EVAL \"return 1\" 0", "ERR this server runs no scripts but the one with which Laravel broadcasts")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let at = first_argument(args)?;
    if !is_broadcast(args.bytes(1)) {
        return Err(no_scripts());
    }
    if let Some((message, channels)) = args.from(at).split_first() {
        for channel in channels {
            session.publish(false, channel, message);
        }
    }
    Ok(Reply::Null)
}
