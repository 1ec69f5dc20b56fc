//! FCALL_RO.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "FCALL_RO",
    group: Group::Scripting,
    summary: "Says that there is no such function.",
    arity: -3,
    args: &[
        Arg::string("function"),
        Arg::integer("numkeys"),
        Arg::new("key", ArgKind::Key).optional().multiple(),
        Arg::string("arg").optional().multiple(),
    ],
    flags: &["noscript", "stale", "no_mandatory_keys", "movablekeys"],
    reply: "an error",
    examples: &[("FCALL_RO f 0", "ERR Function not found")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(CommandError::err("Function not found"))
}
