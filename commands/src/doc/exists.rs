//! DOC.EXISTS.

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.EXISTS",
    group: Group::Document,
    summary: "Counts which of these ids exist; an id given twice counts twice.",
    complexity: "O(log N) of the collection's documents, for each id",
    arity: -3,
    args: &[Arg::collection(), Arg::string("id").multiple()],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "how many exist",
    examples: &[("DOC.EXISTS users 7 9", "(integer) 1")],
    run: Run::Read(exists),
    ..Command::BLANK
};

fn exists(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let Some(collection) = collection(args, 1, context)? else { return Ok(Reply::Integer(0)) };
    let mut found = 0;
    for id in args.from(2) {
        found += i64::from(context.view.find_id(&collection, id)?.is_some());
    }
    Ok(Reply::Integer(found))
}
