//! COMMAND: what commands there are. One file a subcommand; plain COMMAND is COMMAND INFO of all.

pub mod count;
pub mod docs;
pub mod getkeys;
pub mod getkeysandflags;
pub mod help;
pub mod info;
pub mod list;
mod tips;

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};
use crate::table::COMMANDS;

/// The declaration.
pub static SPEC: Command = Command {
    name: "COMMAND",
    group: Group::Server,
    summary: "The details of every command.",
    complexity: "O(n), n being the number of commands",
    arity: -1,
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "array: as COMMAND INFO, of every command",
    examples: &[("COMMAND", "1) 1) \"doc.create\" ...")],
    subcommands: &[
        &count::SPEC,
        &docs::SPEC,
        &getkeys::SPEC,
        &getkeysandflags::SPEC,
        &help::SPEC,
        &info::SPEC,
        &list::SPEC,
    ],
    run: Run::Session(command),
    ..Command::BLANK
};

fn command(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Array(COMMANDS.iter().map(|command| info::describe(command, None)).collect()))
}
