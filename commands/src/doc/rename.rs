//! DOC.RENAME.

use super::new_collection_name;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.RENAME",
    group: Group::Document,
    summary: "Gives a collection another name, which must be free.",
    arity: 3,
    args: &[Arg::collection(), Arg::new("to", ArgKind::Key)],
    keys: Keys::FIRST_TWO,
    flags: &["no_multi", "fast"],
    reply: "OK; an error when there is no such collection or the name is taken",
    examples: &[("DOC.RENAME users people", "OK")],
    run: Run::Write(rename),
    ..Command::BLANK
};

fn rename(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let from = args.text(1)?.to_owned();
    let to = new_collection_name(args, 2)?;
    Ok(Prepared::Unit(Box::new(move |transaction| {
        transaction.rename_collection(db, &from, &to)?;
        Ok(Reply::OK)
    })))
}
