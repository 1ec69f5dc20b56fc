//! FUNCTION: the container. One file a subcommand.

pub mod delete;
pub mod dump;
pub mod flush;
pub mod help;
pub mod kill;
pub mod list;
pub mod load;
pub mod restore;
pub mod stats;

use crate::error::CommandError;
use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "FUNCTION",
    group: Group::Scripting,
    summary: "Commands about functions, of which the server keeps none.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[
        &delete::SPEC,
        &dump::SPEC,
        &flush::SPEC,
        &help::SPEC,
        &kill::SPEC,
        &list::SPEC,
        &load::SPEC,
        &restore::SPEC,
        &stats::SPEC,
    ],
    ..Command::BLANK
};

fn no_functions() -> CommandError {
    CommandError::err("this server runs no functions")
}
