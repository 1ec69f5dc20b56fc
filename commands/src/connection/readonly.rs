//! READONLY.

use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "READONLY",
    group: Group::Cluster,
    summary: "Would allow reads of a cluster's replicas.",
    arity: 1,
    args: &[],
    categories: &["connection"],
    flags: &["loading", "stale", "fast"],
    reply: "an error: the server is not part of a cluster",
    examples: &[("READONLY", "ERR This instance has cluster support disabled")],
    run: Run::Session(|_, _| Err(super::no_cluster())),
    ..Command::BLANK
};
