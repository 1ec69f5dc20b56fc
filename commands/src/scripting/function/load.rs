//! FUNCTION LOAD.

use super::no_functions;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LOAD",
    group: Group::Scripting,
    summary: "Refuses to keep a library.",
    arity: -3,
    args: &[Arg::word("REPLACE"), Arg::string("function-code")],
    flags: &["noscript"],
    reply: "an error",
    examples: &[("FUNCTION LOAD \"#!lua name=lib\"", "ERR this server runs no functions")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(no_functions())
}
