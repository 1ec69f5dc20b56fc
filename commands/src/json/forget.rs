//! JSON.FORGET.

use super::PATH;
use super::del::delete;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.FORGET",
    group: Group::Json,
    summary: "Deletes values, as JSON.DEL does.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "how many were deleted: what is within another that is deleted does not count. The root is the key, and it goes",
    examples: &[(r#"JSON.FORGET user:1 $.tags"#, r#"(integer) 1"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    delete(args, context)
}
