//! FUNCTION STATS.

use super::no_functions;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "STATS",
    group: Group::Scripting,
    summary: "Refuses to say which function runs, and what engines there are for them: there are none.",
    arity: 2,
    args: &[],
    flags: &["noscript"],
    reply: "an error",
    examples: &[("FUNCTION STATS", "ERR this server runs no functions")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(no_functions())
}
