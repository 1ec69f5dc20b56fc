//! ACL SAVE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SAVE",
    group: Group::Server,
    summary: "Writes the users to the file of the setting `aclfile`.",
    complexity: "O(n), n being the number of users",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("ACL SAVE", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    super::needs_file(session)?;
    session.later(Later::Change(AccountChange::Save));
    Ok(Reply::Null)
}
