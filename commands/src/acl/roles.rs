//! ACL ROLES.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "ROLES",
    group: Group::Server,
    summary: "All roles with their rules, as lines of a configuration file.",
    complexity: "O(n), n being the number of roles",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of lines",
    examples: &[("ACL ROLES", "1) \"role admin resetchannels +@all\" ...")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let accounts = session.accounts();
    let lines =
        accounts.roles().iter().map(|(name, role)| Reply::Bulk([b"role ", name, b" ", &role.show()].concat().into()));
    Ok(Reply::Array(lines.collect()))
}
