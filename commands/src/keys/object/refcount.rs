//! OBJECT REFCOUNT.

use super::named;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REFCOUNT",
    group: Group::Generic,
    summary: "Says how many keys share a value: none do.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key")],
    keys: Keys { first: 2, last: 2, step: 1 },
    reply: "1, or null without such a key",
    examples: &[("OBJECT REFCOUNT greeting", "(integer) 1")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    Ok(named(args, context)?.map_or(Reply::Null, |_| Reply::Integer(1)))
}
