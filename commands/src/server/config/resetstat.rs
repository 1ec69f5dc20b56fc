//! CONFIG RESETSTAT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RESETSTAT",
    group: Group::Server,
    summary: "Starts the counters of INFO again at 0.",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CONFIG RESETSTAT", "OK")],
    run: Run::Session(resetstat),
    ..Command::BLANK
};

fn resetstat(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.reset_statistics();
    Ok(Reply::OK)
}
