//! ACL WHOAMI.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "WHOAMI",
    group: Group::Server,
    summary: "The user that this connection is.",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    reply: "the name",
    examples: &[("ACL WHOAMI", "\"default\"")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Bulk(session.user().name().clone()))
}
