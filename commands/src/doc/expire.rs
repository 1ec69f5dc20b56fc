//! DOC.EXPIRE.

use super::expiry::expire;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CONDITION, EX};
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.EXPIRE",
    group: Group::Document,
    summary: "Gives a document so many seconds to live.",
    complexity: "O(log N) of the collection's documents, plus the document's size",
    arity: -4,
    args: &[Arg::collection(), Arg::string("id"), Arg::integer("seconds"), CONDITION],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no document or the condition does not hold: NX no expiry yet, XX one already, GT one before \
            this, LT one after this or none. A time that has passed deletes the document. Updates keep the expiry, DOC.SET \
            without KEEPTTL takes it away. The document stays the same, so its version does too",
    examples: &[("DOC.EXPIRE users 7 60", "(integer) 1"), ("DOC.EXPIRE users 7 60 NX", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    expire(args, context, EX, "doc.expire")
}
