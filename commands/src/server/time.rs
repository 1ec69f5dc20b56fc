//! TIME.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "TIME",
    group: Group::Server,
    summary: "The server's time.",
    arity: 1,
    flags: &["loading", "stale", "fast"],
    reply: "array of two strings: seconds since 1970, and microseconds within the second",
    examples: &[("TIME", "1) \"1763870400\" 2) \"123456\"")],
    run: Run::Session(time),
    ..Command::BLANK
};

fn time(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let now = session.unix_time();
    Ok(Reply::Array(vec![Reply::text(now.as_secs().to_string()), Reply::text(now.subsec_micros().to_string())]))
}
