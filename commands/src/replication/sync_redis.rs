//! SYNC: what replicas of Redis say. They cannot follow VedDB, and are told.

use super::psync::refuse;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SYNC",
    group: Group::Server,
    summary: "Refused: it is what a replica of Redis says, and Redis cannot follow VedDB.",
    arity: 1,
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "no_multi"],
    reply: "an error",
    examples: &[("SYNC", "(error) ERR this is VedDB: only VedDB can follow it, by REPLICAOF")],
    run: Run::Session(refuse),
    ..Command::BLANK
};
