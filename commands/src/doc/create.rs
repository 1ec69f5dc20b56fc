//! DOC.CREATE.

use super::new_collection_name;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.CREATE",
    group: Group::Document,
    summary: "Makes a collection. One also appears at its first insert.",
    arity: 2,
    args: &[Arg::collection()],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "OK, also when the collection exists with the same options",
    examples: &[("DOC.CREATE users", "OK")],
    run: Run::Write(create),
    ..Command::BLANK
};

fn create(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = new_collection_name(args, 1)?;
    Ok(Prepared::Unit(Box::new(move |transaction| {
        // There are no options yet that could differ.
        transaction.collection_or_create(db, &name)?;
        Ok(Reply::OK)
    })))
}
