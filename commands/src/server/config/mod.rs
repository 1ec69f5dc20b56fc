//! CONFIG: the container. One file a subcommand.

pub mod get;
pub mod help;
pub mod resetstat;
pub mod rewrite;
pub mod set;

use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "CONFIG",
    group: Group::Server,
    summary: "Commands about the server's settings.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[&get::SPEC, &help::SPEC, &resetstat::SPEC, &rewrite::SPEC, &set::SPEC],
    ..Command::BLANK
};
