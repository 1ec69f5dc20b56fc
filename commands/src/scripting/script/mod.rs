//! SCRIPT: the container. One file a subcommand.

pub mod exists;
pub mod flush;
pub mod help;
pub mod kill;
pub mod load;

use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SCRIPT",
    group: Group::Scripting,
    summary: "Commands about scripts, of which the server keeps none.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[&exists::SPEC, &flush::SPEC, &help::SPEC, &kill::SPEC, &load::SPEC],
    ..Command::BLANK
};
