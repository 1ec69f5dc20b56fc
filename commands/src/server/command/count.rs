//! COMMAND COUNT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};
use crate::table::COMMANDS;

/// The declaration.
pub static SPEC: Command = Command {
    name: "COUNT",
    group: Group::Server,
    summary: "How many commands there are; subcommands are not counted.",
    arity: 2,
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "integer",
    examples: &[("COMMAND COUNT", "(integer) 31")],
    run: Run::Session(count),
    ..Command::BLANK
};

fn count(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(COMMANDS.len()))
}
