//! LATENCY: the container. One file a subcommand.

pub mod doctor;
pub mod graph;
pub mod help;
pub mod histogram;
pub mod history;
pub mod latest;
pub mod reset;

use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LATENCY",
    group: Group::Server,
    summary: "Commands about what took long.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[
        &doctor::SPEC,
        &graph::SPEC,
        &help::SPEC,
        &histogram::SPEC,
        &history::SPEC,
        &latest::SPEC,
        &reset::SPEC,
    ],
    ..Command::BLANK
};
