//! JSON.DEBUG: what is known of how a JSON value is kept.

pub mod help;
pub mod memory;

use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.DEBUG",
    group: Group::Json,
    summary: "Says how a JSON value is kept.",
    complexity: "Depends on the subcommand",
    arity: -2,
    reply: "depends on the subcommand",
    subcommands: &[&help::SPEC, &memory::SPEC],
    run: Run::Container,
    ..Command::BLANK
};
