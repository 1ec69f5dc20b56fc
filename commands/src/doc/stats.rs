//! DOC.STATS.

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.STATS",
    group: Group::Document,
    summary: "Says how large a collection is.",
    complexity: "O(1) for the counts; the indexes are measured from one page in sixteen",
    arity: 2,
    args: &[Arg::collection()],
    keys: Keys::FIRST,
    flags: &["slow-read"],
    reply: "a map: count (documents, those that have expired included until they are deleted), size (bytes of their \
            stored form), avgSize, storageSize (bytes with what sealing adds), indexes, indexSize (bytes of their \
            pages), version (LSN of the last change), created (ms since 1970)",
    examples: &[("DOC.STATS users", " 1) \"count\"\n 2) (integer) 1\n ...")],
    run: Run::Read(stats),
    ..Command::BLANK
};

fn stats(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let Some(collection) = collection(args, 1, context)? else {
        return Err(CommandError::err(format!("no such collection: {}", args.text(1)?)));
    };
    let (count, size) = (collection.count(), collection.size());
    let (_, mut index_size) = context.view.id_index_size(&collection)?;
    index_size += context.view.expiries_size(&collection)?;
    for index in collection.indexes() {
        index_size += context.view.trees().size(index)?;
    }
    let figures = [
        ("count", count),
        ("size", size),
        ("avgSize", size.checked_div(count).unwrap_or(0)),
        ("storageSize", collection.stored_size()),
        // The one on _id is not in the list.
        ("indexes", 1 + collection.indexes().len() as u64),
        ("indexSize", index_size),
        ("version", collection.changed_lsn()),
        ("created", collection.created_ms()),
    ];
    Ok(Reply::Map(figures.map(|(name, figure)| (Reply::constant(name), Reply::count(figure))).to_vec()))
}
