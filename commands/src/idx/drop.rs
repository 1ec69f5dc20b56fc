//! IDX.DROP: drops an index.

use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::query::plan::ID_INDEX;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// IDX.DROP
pub static SPEC: Command = Command {
    name: "IDX.DROP",
    group: Group::Index,
    summary: "Drops an index, also one that is being built.",
    complexity: "O(1); the space is reclaimed in the background.",
    arity: 3,
    args: &[Arg::collection(), Arg::string("name")],
    keys: Keys::FIRST,
    flags: &["no_multi"],
    reply: "1, or 0 when there is none of this name.",
    examples: &[("IDX.DROP users by_age", "1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, collection, name) = (context.db, args.text(1)?.to_owned(), args.text(2)?.to_owned());
    if name == ID_INDEX {
        return Err(CommandError::err("the index on _id cannot be dropped"));
    }
    Ok(Prepared::Unit(Box::new(move |tx| {
        let dropped = match tx.collection(db, &collection) {
            Some(collection) => tx.drop_index(collection, &name)?,
            None => false,
        };
        Ok(Reply::Integer(i64::from(dropped)))
    })))
}
