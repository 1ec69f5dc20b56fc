//! EVALSHA.

use super::first_argument;
use crate::args::Args;
use crate::context::Session;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EVALSHA",
    group: Group::Scripting,
    summary: "Always says that it does not know the script, so that clients send it by EVAL.",
    arity: -3,
    args: &[
        Arg::string("sha1"),
        Arg::integer("numkeys"),
        Arg::new("key", ArgKind::Key).optional().multiple(),
        Arg::string("arg").optional().multiple(),
    ],
    flags: &["noscript", "stale", "may_replicate", "no_mandatory_keys", "movablekeys"],
    reply: "the error NOSCRIPT",
    examples: &[(
        "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff831 0",
        "NOSCRIPT No matching script. Please use EVAL.",
    )],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    first_argument(args)?;
    Err(CommandError::new(ErrorCode::NoScript, "No matching script. Please use EVAL."))
}
