//! CLIENT ID.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "ID",
    group: Group::Connection,
    summary: "The connection's id: unique while the server runs, and ascending.",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    reply: "integer",
    examples: &[("CLIENT ID", "(integer) 7")],
    run: Run::Session(id),
    ..Command::BLANK
};

fn id(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.client().id))
}
