//! MODULE: what Redis would have as modules.

pub mod help;
pub mod list;

use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MODULE",
    group: Group::Server,
    summary: "Names what Redis would have as modules.",
    complexity: "Depends on the subcommand",
    arity: -2,
    reply: "depends on the subcommand",
    subcommands: &[&help::SPEC, &list::SPEC],
    run: Run::Container,
    ..Command::BLANK
};
