//! REPLCONF: what replicas of Redis say. They cannot follow VedDB, and are told.

use super::psync::refuse;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLCONF",
    group: Group::Server,
    summary: "Refused: it is what a replica of Redis says, and Redis cannot follow VedDB.",
    arity: -1,
    args: &[Arg::string("option").optional().multiple()],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "loading", "stale", "allow_busy"],
    reply: "an error",
    examples: &[("REPLCONF capa eof", "(error) ERR this is VedDB: only VedDB can follow it, by REPLICAOF")],
    run: Run::Session(refuse),
    ..Command::BLANK
};
