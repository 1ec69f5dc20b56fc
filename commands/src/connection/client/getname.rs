//! CLIENT GETNAME.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETNAME",
    group: Group::Connection,
    summary: "The connection's name.",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    reply: "the name, or null when it has none",
    examples: &[("CLIENT GETNAME", "\"worker\"")],
    run: Run::Session(getname),
    ..Command::BLANK
};

fn getname(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let name = session.client().name;
    Ok(if name.is_empty() { Reply::Null } else { Reply::text(name) })
}
