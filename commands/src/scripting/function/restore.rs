//! FUNCTION RESTORE.

use super::no_functions;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RESTORE",
    group: Group::Scripting,
    summary: "Refuses to take libraries over.",
    arity: -3,
    args: &[
        Arg::string("serialized-value"),
        Arg::one_of("policy", &[Arg::word("FLUSH"), Arg::word("APPEND"), Arg::word("REPLACE")]).optional(),
    ],
    flags: &["noscript"],
    reply: "an error",
    examples: &[("FUNCTION RESTORE x", "ERR this server runs no functions")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Err(no_functions())
}
