//! SCRIPT LOAD.

use super::super::no_scripts;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LOAD",
    group: Group::Scripting,
    summary: "Refuses to keep a script.",
    arity: 3,
    args: &[Arg::string("script")],
    flags: &["noscript"],
    reply: "an error",
    examples: &[(
        "SCRIPT LOAD \"return 1\"",
        "ERR this server runs no scripts but the one with which Laravel broadcasts",
    )],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(no_scripts())
}
