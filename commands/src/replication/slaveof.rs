//! SLAVEOF: the old name of REPLICAOF, which Sentinel uses.

use super::replicaof::{self, ARGS};
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SLAVEOF",
    group: Group::Server,
    summary: "The old name of REPLICAOF.",
    arity: -3,
    args: ARGS,
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "stale"],
    reply: "as REPLICAOF",
    examples: &[("SLAVEOF NO ONE", "OK")],
    run: Run::Session(replicaof::run),
    ..Command::BLANK
};
