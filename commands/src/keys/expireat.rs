//! EXPIREAT.

use super::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, EXAT};
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EXPIREAT",
    group: Group::Generic,
    summary: "Has a key expire at this time, seconds since 1970.",
    complexity: "O(1), plus the size of the value",
    arity: -3,
    args: &[Arg::key("key"), Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no key or the condition does not hold: NX no expiry yet, XX one already, GT one before this, LT one after this or none. A time that has passed deletes the key",
    examples: &[("EXPIREAT greeting 4000000000", "(integer) 1"), ("EXPIREAT greeting 4000000000 NX", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, EXAT, "expireat")
}
