//! MEMORY: the container. One file a subcommand.

pub mod doctor;
pub mod help;
pub mod malloc_stats;
pub mod purge;
pub mod stats;
pub mod usage;

use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MEMORY",
    group: Group::Server,
    summary: "Commands about what memory is used for.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[&doctor::SPEC, &help::SPEC, &malloc_stats::SPEC, &purge::SPEC, &stats::SPEC, &usage::SPEC],
    ..Command::BLANK
};
