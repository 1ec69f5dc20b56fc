//! DOC.MGET.

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.MGET",
    group: Group::Document,
    summary: "Returns several documents by their ids.",
    complexity: "O(log N) of the collection's documents, for each id",
    arity: -3,
    args: &[Arg::collection(), Arg::string("id").multiple()],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "an array of a document or null for each id, in order",
    examples: &[("DOC.MGET users 7 9", "1) \"{\\\"_id\\\":7,\\\"name\\\":\\\"Ada\\\"}\"\n2) (nil)")],
    run: Run::Read(mget),
    ..Command::BLANK
};

fn mget(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let collection = collection(args, 1, context)?;
    let mut replies = Vec::with_capacity(args.len() - 2);
    for id in args.from(2) {
        let document = match &collection {
            Some(collection) => context.view.get(collection, id)?,
            None => None,
        };
        replies.push(document.map_or(Reply::Null, Reply::Document));
    }
    Ok(Reply::Array(replies))
}
