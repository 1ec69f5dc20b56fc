//! ACL USERS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "USERS",
    group: Group::Server,
    summary: "The names of all users.",
    complexity: "O(n), n being the number of users",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of names",
    examples: &[("ACL USERS", "1) \"ada\" 2) \"default\"")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Array(session.accounts().users().map(|user| Reply::Bulk(user.name().clone())).collect()))
}
