//! DOC.PEXPIRE.

use super::expiry::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, PX};
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.PEXPIRE",
    group: Group::Document,
    summary: "Gives a document so many milliseconds to live.",
    complexity: "O(log N) of the collection's documents, plus the document's size",
    arity: -4,
    args: &[Arg::collection(), Arg::string("id"), Arg::integer("milliseconds"), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no document or the condition (as in DOC.EXPIRE) does not hold. A time that has passed deletes \
            the document",
    examples: &[("DOC.PEXPIRE users 7 1500", "(integer) 1"), ("DOC.PEXPIRE users 7 1500 NX", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, PX, "doc.pexpire")
}
