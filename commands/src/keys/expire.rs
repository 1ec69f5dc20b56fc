//! EXPIRE.

use super::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, EX};
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EXPIRE",
    group: Group::Generic,
    summary: "Gives a key so many seconds to live.",
    complexity: "O(1), plus the size of the value",
    arity: -3,
    args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no key or the condition does not hold: NX no expiry yet, XX one already, GT one before this, LT one after this or none. A time that has passed deletes the key",
    examples: &[("EXPIRE greeting 60", "(integer) 1"), ("EXPIRE greeting 60 NX", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, EX, "expire")
}
