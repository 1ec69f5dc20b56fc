//! DOC.PERSIST.

use super::expiry::found;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.PERSIST",
    group: Group::Document,
    summary: "Takes a document's expiry away.",
    complexity: "O(log N) of the collection's documents, plus the document's size",
    arity: 3,
    args: &[Arg::collection(), Arg::string("id")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 when there is no document or it does not expire",
    examples: &[("DOC.PERSIST users 7", "(integer) 1"), ("DOC.PERSIST users 7", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, name, id) = (context.db, args.text(1)?.to_owned(), args.bytes(2).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let expiring = found(tx, db, &name, &id)?.filter(|(_, _, document)| document.expires_ms != 0);
        let Some((collection, record, document)) = expiring else { return Ok(Reply::Integer(0)) };
        tx.set_expiry(collection, record, &document, 0)?;
        Ok(Reply::Integer(1))
    })))
}
