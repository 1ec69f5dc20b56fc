//! CLIENT UNPAUSE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "UNPAUSE",
    group: Group::Connection,
    summary: "Ends CLIENT PAUSE. It is carried out during a pause of all commands, too.",
    complexity: "O(n), n being the number of clients that are held back",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CLIENT UNPAUSE", "OK")],
    run: Run::Session(unpause),
    ..Command::BLANK
};

fn unpause(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.unpause();
    Ok(Reply::OK)
}
