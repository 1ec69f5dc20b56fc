//! CLUSTER.

use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "CLUSTER",
    group: Group::Cluster,
    summary: "Answers as a Redis that has no cluster.",
    arity: -2,
    args: &[Arg::string("subcommand"), Arg::string("arg").optional().multiple()],
    flags: &["loading", "stale"],
    reply: "an error: the server is not part of a cluster",
    examples: &[("CLUSTER NODES", "ERR This instance has cluster support disabled")],
    run: Run::Session(|_, _| Err(super::no_cluster())),
    ..Command::BLANK
};
