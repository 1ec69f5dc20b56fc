//! DECRBY.

use super::add;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DECRBY",
    group: Group::String,
    summary: "Subtracts an integer from the one that a key holds as text.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key"), Arg::integer("decrement")],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "what it is then; without such a key it begins at 0. An expiry stays",
    examples: &[("DECRBY visits 5", "(integer) -5")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let by = args.integer(2)?.checked_neg().ok_or_else(|| CommandError::err("decrement would overflow"))?;
    add(args, context, by)
}
