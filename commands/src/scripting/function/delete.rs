//! FUNCTION DELETE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DELETE",
    group: Group::Scripting,
    summary: "Would delete a library, of which there are none.",
    arity: 3,
    args: &[Arg::string("library-name")],
    flags: &["noscript"],
    reply: "an error",
    examples: &[("FUNCTION DELETE lib", "ERR Library not found")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(CommandError::err("Library not found"))
}
