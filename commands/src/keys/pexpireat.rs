//! PEXPIREAT.

use super::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, PXAT};
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PEXPIREAT",
    group: Group::Generic,
    summary: "Has a key expire at this time, milliseconds since 1970.",
    complexity: "O(1), plus the size of the value",
    arity: -3,
    args: &[Arg::key("key"), Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no key or the condition does not hold: NX no expiry yet, XX one already, GT one before this, LT one after this or none. A time that has passed deletes the key",
    examples: &[
        ("PEXPIREAT greeting 4000000000000", "(integer) 1"),
        ("PEXPIREAT greeting 4000000000000 NX", "(integer) 0"),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, PXAT, "pexpireat")
}
