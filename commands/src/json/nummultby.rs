//! JSON.NUMMULTBY.

use super::number::Operation;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.NUMMULTBY",
    group: Group::Json,
    summary: "Multiplies numbers by a number.",
    complexity: "O(N) of the value",
    arity: 4,
    args: &[Arg::key("key"), Arg::string("path"), Arg::new("number", ArgKind::Double)],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "JSON array: what each number of the path is now, null for what is none; under RESP3 an array of numbers. In the older notation, under RESP2, the last of these alone. An integer that has no 64 bits, and what is no finite number, is an error",
    examples: &[(r#"JSON.NUMMULTBY user:1 $.visits 2"#, r#""[6]""#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const OPERATION: Operation = Operation { integers: i64::checked_mul, doubles: |a, b| a * b };

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    OPERATION.run(args, context, "json.nummultby")
}
