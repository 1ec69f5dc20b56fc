//! CLIENT CACHING.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "CACHING",
    group: Group::Connection,
    summary: "Says that the connection does not track what it reads, as Redis does where tracking is off.",
    arity: 3,
    args: &[Arg::one_of("mode", &[Arg::word("YES"), Arg::word("NO")])],
    flags: &["noscript", "loading", "stale"],
    reply: "an error",
    examples: &[(
        "CLIENT CACHING YES",
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    )],
    run: Run::Session(caching),
    ..Command::BLANK
};

fn caching(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(CommandError::err(
        "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))
}
