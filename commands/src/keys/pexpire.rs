//! PEXPIRE.

use super::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, PX};
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PEXPIRE",
    group: Group::Generic,
    summary: "Gives a key so many milliseconds to live.",
    complexity: "O(1), plus the size of the value",
    arity: -3,
    args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no key or the condition does not hold: NX no expiry yet, XX one already, GT one before this, LT one after this or none. A time that has passed deletes the key",
    examples: &[("PEXPIRE greeting 60000", "(integer) 1"), ("PEXPIRE greeting 60000 NX", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, PX, "pexpire")
}
