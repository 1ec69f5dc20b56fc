//! DOC.EXPIREAT.

use super::expiry::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, EXAT};
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.EXPIREAT",
    group: Group::Document,
    summary: "Lets a document live until a moment, in seconds since 1970.",
    complexity: "O(log N) of the collection's documents, plus the document's size",
    arity: -4,
    args: &[Arg::collection(), Arg::string("id"), Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no document or the condition (as in DOC.EXPIRE) does not hold. A time that has passed deletes \
            the document",
    examples: &[
        ("DOC.EXPIREAT users 7 1893456000", "(integer) 1"),
        ("DOC.EXPIREAT users 7 1893456000 NX", "(integer) 0"),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, EXAT, "doc.expireat")
}
