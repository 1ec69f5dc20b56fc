//! READWRITE.

use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "READWRITE",
    group: Group::Cluster,
    summary: "Would forbid reads of a cluster's replicas.",
    arity: 1,
    args: &[],
    categories: &["connection"],
    flags: &["loading", "stale", "fast"],
    reply: "an error: the server is not part of a cluster",
    examples: &[("READWRITE", "ERR This instance has cluster support disabled")],
    run: Run::Session(|_, _| Err(super::no_cluster())),
    ..Command::BLANK
};
