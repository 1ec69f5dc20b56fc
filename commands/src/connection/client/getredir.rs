//! CLIENT GETREDIR.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETREDIR",
    group: Group::Connection,
    summary: "To which connection invalidations go: to none, since nothing is tracked.",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    reply: "-1",
    examples: &[("CLIENT GETREDIR", "(integer) -1")],
    run: Run::Session(getredir),
    ..Command::BLANK
};

fn getredir(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Integer(-1))
}
