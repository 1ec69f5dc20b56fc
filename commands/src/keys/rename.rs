//! RENAME.

use super::rename;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RENAME",
    group: Group::Generic,
    summary: "Gives a key another name, in the place of the key of that name.",
    complexity: "O(N) of the value",
    arity: 3,
    args: &[Arg::key("key"), Arg::key("newkey")],
    keys: Keys::FIRST_TWO,
    reply: "OK; an error without such a key. The expiry goes with it",
    examples: &[("RENAME greeting welcome", "OK")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    Ok(rename(args, context, false))
}
