//! ACL LIST.

use crate::access::User;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};
use std::sync::Arc;

/// The declaration.
pub static SPEC: Command = Command {
    name: "LIST",
    group: Group::Server,
    summary: "All users with their rules, as lines of a configuration file.",
    complexity: "O(n), n being the number of users",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of lines",
    examples: &[("ACL LIST", "1) \"user default on nopass sanitize-payload ~* &* +@all\"")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let line = |user: &Arc<User>| Reply::Bulk([b"user ", &user.name()[..], b" ", &user.show()].concat().into());
    Ok(Reply::Array(session.accounts().users().map(line).collect()))
}
