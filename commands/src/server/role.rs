//! ROLE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::replication::list;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "ROLE",
    group: Group::Server,
    summary: "Says what the server is among its replicas, and how far its log has come.",
    arity: 1,
    categories: &["admin", "dangerous"],
    flags: &["noscript", "loading", "stale", "fast"],
    reply: "of a primary: array of `master`, the last unit of the log, and an array of replicas, each with its address, its port and \
            the last unit that it has written; of a replica: array of `slave`, address and port of its primary, how far the link is \
            (`connect`, `connecting`, `handshake`, `sync`, `connected`), and the last unit of its log",
    examples: &[("ROLE", "1) \"master\" 2) (integer) 3129 3) (empty array)")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(list::role(session.role()))
}
