//! RENAMENX.

use super::rename;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RENAMENX",
    group: Group::Generic,
    summary: "Gives a key another name unless that is taken.",
    complexity: "O(N) of the value",
    arity: 3,
    args: &[Arg::key("key"), Arg::key("newkey")],
    keys: Keys::FIRST_TWO,
    flags: &["fast"],
    reply: "1, or 0 when the name is taken; an error without such a key. The expiry goes with it",
    examples: &[("RENAMENX greeting welcome", "(integer) 1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    Ok(rename(args, context, true))
}
