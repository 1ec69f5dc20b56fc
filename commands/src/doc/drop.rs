//! DOC.DROP.

use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.DROP",
    group: Group::Document,
    summary: "Drops a collection with all its documents; the space is reclaimed in the background.",
    arity: 2,
    args: &[Arg::collection()],
    keys: Keys::FIRST,
    flags: &["no_multi", "fast"],
    categories: &["dangerous"],
    reply: "1, or 0 when there was none",
    examples: &[("DOC.DROP users", "(integer) 1")],
    run: Run::Write(drop),
    ..Command::BLANK
};

fn drop(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = args.text(1)?.to_owned();
    Ok(Prepared::Unit(Box::new(move |transaction| {
        Ok(Reply::Integer(i64::from(transaction.drop_collection(db, &name)?)))
    })))
}
