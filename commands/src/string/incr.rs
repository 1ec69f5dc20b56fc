//! INCR.

use super::add;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "INCR",
    group: Group::String,
    summary: "Adds 1 to the integer that a key holds as text.",
    complexity: "O(1)",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "what it is then; without such a key it begins at 0. An expiry stays",
    examples: &[("INCR visits", "(integer) 1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    add(args, context, 1)
}
