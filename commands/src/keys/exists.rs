//! EXISTS.

use super::count;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EXISTS",
    group: Group::Generic,
    summary: "Says how many of these keys there are.",
    complexity: "O(N) of the keys",
    arity: -2,
    args: &[Arg::key("key").multiple()],
    keys: Keys { first: 1, last: -1, step: 1 },
    flags: &["fast"],
    reply: "how many; a key that is named twice counts twice",
    examples: &[("EXISTS greeting nobody", "(integer) 1")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    count(args, context)
}
