//! PSYNC: what replicas of Redis say. They cannot follow VedDB, and are told.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PSYNC",
    group: Group::Server,
    summary: "Refused: it is what a replica of Redis says, and Redis cannot follow VedDB.",
    arity: -3,
    args: &[Arg::string("replicationid"), Arg::integer("offset")],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "no_multi"],
    reply: "an error",
    examples: &[("PSYNC ? -1", "(error) ERR this is VedDB: only VedDB can follow it, by REPLICAOF")],
    run: Run::Session(refuse),
    ..Command::BLANK
};

pub(super) fn refuse(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(CommandError::err("this is VedDB: only VedDB can follow it, by REPLICAOF"))
}
