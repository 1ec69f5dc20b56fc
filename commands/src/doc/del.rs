//! DOC.DEL.

use bytes::Bytes;

use super::{conflict, version_of};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.DEL",
    group: Group::Document,
    summary: "Deletes documents by their ids, in one atomic step.",
    complexity: "O(log N) of the collection's documents, for each id",
    arity: -3,
    args: &[Arg::collection(), Arg::string("id").multiple(), Arg::integer("version").after("IFVER").optional()],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "how many were deleted",
    examples: &[("DOC.DEL users 7 9", "(integer) 1"), ("DOC.DEL users 8 IFVER 3", "(integer) 1")],
    run: Run::Write(del),
    ..Command::BLANK
};

fn del(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = args.text(1)?.to_owned();
    // A trailing keyword wins over an id of that text.
    let keyword = args.len().checked_sub(2).filter(|at| *at >= 2 && args.is(*at, "IFVER"));
    let expected = keyword.map(|at| args.unsigned(at + 1)).transpose()?;
    let ids: Vec<Bytes> = args.from(2).iter().take(keyword.map_or(usize::MAX, |at| at - 2)).cloned().collect();
    if expected.is_some() && ids.len() != 1 {
        return Err(CommandError::err("IFVER takes one id only"));
    }
    Ok(Prepared::Unit(Box::new(move |transaction| {
        if let (Some(expected), Some(id)) = (expected, ids.first()) {
            let current = version_of(transaction, db, &name, id)?;
            if current != expected {
                return Err(conflict(current, expected));
            }
        }
        let Some(collection) = transaction.collection(db, &name) else { return Ok(Reply::Integer(0)) };
        let mut deleted = 0;
        for id in &ids {
            let Some(record) = transaction.find_id(collection, id)? else { continue };
            if let Some(document) = transaction.record(collection, record)? {
                transaction.delete(collection, record, &document)?;
                deleted += 1;
            }
        }
        Ok(Reply::Integer(deleted))
    })))
}
