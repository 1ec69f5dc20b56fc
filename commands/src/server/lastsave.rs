//! LASTSAVE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LASTSAVE",
    group: Group::Server,
    summary: "Says when the last checkpoint was written. What came after it is in the log.",
    arity: 1,
    categories: &["admin", "dangerous"],
    flags: &["loading", "stale", "fast"],
    reply: "seconds since 1970; when the server started, before the first checkpoint",
    examples: &[("LASTSAVE", "(integer) 1795747275")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.position().1))
}
