//! SLOWLOG: the container. One file a subcommand.

pub mod get;
pub mod help;
pub mod len;
pub mod reset;

use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SLOWLOG",
    group: Group::Server,
    summary: "Commands about the commands that took long.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[&get::SPEC, &help::SPEC, &len::SPEC, &reset::SPEC],
    ..Command::BLANK
};
