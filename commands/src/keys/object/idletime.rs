//! OBJECT IDLETIME.

use super::named;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "IDLETIME",
    group: Group::Generic,
    summary: "When a key was last used is not kept: this says so.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key")],
    keys: Keys { first: 2, last: 2, step: 1 },
    reply: "an error; null without such a key",
    examples: &[(
        "OBJECT IDLETIME greeting",
        "(error) ERR when a key was last used is not kept, so there is no OBJECT IDLETIME",
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    match named(args, context)? {
        Some(_) => Err(CommandError::err("when a key was last used is not kept, so there is no OBJECT IDLETIME")),
        None => Ok(Reply::Null),
    }
}
