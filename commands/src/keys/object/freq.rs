//! OBJECT FREQ.

use super::named;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "FREQ",
    group: Group::Generic,
    summary: "How often a key is used is not kept: this says so.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key")],
    keys: Keys { first: 2, last: 2, step: 1 },
    reply: "an error; null without such a key",
    examples: &[(
        "OBJECT FREQ greeting",
        "(error) ERR how often a key is used is not counted, so there is no OBJECT FREQ",
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    match named(args, context)? {
        Some(_) => Err(CommandError::err("how often a key is used is not counted, so there is no OBJECT FREQ")),
        None => Ok(Reply::Null),
    }
}
