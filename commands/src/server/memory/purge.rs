//! MEMORY PURGE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PURGE",
    group: Group::Server,
    summary: "Has index pages and documents over their budgets leave memory now.",
    complexity: "O(n), n being the number of pages",
    arity: 2,
    reply: "OK",
    examples: &[("MEMORY PURGE", "OK")],
    run: Run::Session(purge),
    ..Command::BLANK
};

fn purge(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.purge_memory();
    Ok(Reply::OK)
}
