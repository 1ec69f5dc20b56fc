//! SUBSTR.

use super::range;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SUBSTR",
    group: Group::String,
    summary: "The old name of GETRANGE.",
    complexity: "O(N) of the bytes returned",
    arity: 4,
    args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
    keys: Keys::FIRST,
    reply: "the bytes from start to end, both of them in it; negative ones count from the end",
    examples: &[("SUBSTR greeting 1 3", r#""ell""#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    range(args, context)
}
