//! DEL.

use super::delete_all;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DEL",
    group: Group::Generic,
    summary: "Deletes keys.",
    complexity: "O(N) of the keys",
    arity: -2,
    args: &[Arg::key("key").multiple()],
    keys: Keys { first: 1, last: -1, step: 1 },
    reply: "how many were there",
    examples: &[("DEL greeting nobody", "(integer) 1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    Ok(delete_all(args, context))
}
