//! GETSET.

use super::options::Options;
use super::store;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETSET",
    group: Group::String,
    summary: "Has a key hold a string, and returns the one before.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key"), Arg::string("value")],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "the string before, or null; an expiry is gone",
    examples: &[("GETSET greeting hi", r#""hello""#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    store(args.bytes(1), args.bytes(2), Options { get: true, ..Options::default() }, context)
}
