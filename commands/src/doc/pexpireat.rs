//! DOC.PEXPIREAT.

use super::expiry::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, PXAT};
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.PEXPIREAT",
    group: Group::Document,
    summary: "Lets a document live until a moment, in milliseconds since 1970.",
    complexity: "O(log N) of the collection's documents, plus the document's size",
    arity: -4,
    args: &[Arg::collection(), Arg::string("id"), Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no document or the condition (as in DOC.EXPIRE) does not hold. A time that has passed deletes \
            the document",
    examples: &[
        ("DOC.PEXPIREAT users 7 1893456000000", "(integer) 1"),
        ("DOC.PEXPIREAT users 7 1893456000000 NX", "(integer) 0"),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, PXAT, "doc.pexpireat")
}
