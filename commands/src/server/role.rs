//! ROLE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
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
    reply: "array of `master`, the last unit of the log, and an array of replicas, of which there are none",
    examples: &[("ROLE", "1) \"master\" 2) (integer) 3129 3) (empty array)")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let (lsn, _) = session.position();
    Ok(Reply::Array(vec![Reply::constant("master"), Reply::count(lsn), Reply::Array(Vec::new())]))
}
