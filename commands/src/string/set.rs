//! SET.

use super::options::Options;
use super::store;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SET",
    group: Group::String,
    summary: "Has a key hold a string, whatever it held before.",
    complexity: "O(1)",
    arity: -3,
    args: &[
        Arg::key("key"),
        Arg::string("value"),
        Arg::one_of("condition", &[Arg::word("NX").required(), Arg::word("XX").required()]).optional(),
        Arg::word("GET"),
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").after("EX"),
                Arg::integer("milliseconds").after("PX"),
                Arg::new("unix-time-seconds", ArgKind::UnixTime).after("EXAT"),
                Arg::new("unix-time-milliseconds", ArgKind::UnixTime).after("PXAT"),
                Arg::word("KEEPTTL").required(),
            ],
        )
        .optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "OK, or null when NX or XX did not hold; with GET the string that was there before, or null. Without KEEPTTL an expiry that the key had is gone",
    examples: &[
        ("SET greeting hello", "OK"),
        ("SET greeting hi NX", "(nil)"),
        ("SET session:1 ada EX 3600", "OK"),
        ("SET greeting hi GET", r#""hello""#),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let options = Options::of_set(args, context)?;
    store(args.bytes(1), args.bytes(2), options, context)
}
