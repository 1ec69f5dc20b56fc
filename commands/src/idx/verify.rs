//! IDX.VERIFY: compares indexes with the documents.

use crate::args::Args;
use crate::context::ReadContext;
use crate::doc::collection;
use crate::error::{CommandError, ErrorCode};
use crate::query::plan::ID_INDEX;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// IDX.VERIFY
pub static SPEC: Command = Command {
    name: "IDX.VERIFY",
    group: Group::Index,
    summary: "Compares indexes with the documents, both ways, at one moment.",
    complexity: "O(N log N) with N the number of documents and entries.",
    arity: -2,
    args: &[Arg::collection(), Arg::string("name").optional()],
    keys: Keys::FIRST,
    flags: &["no_multi", "slow-read"],
    reply: "Map: indexes (those compared: the one named, or all that are ready and the one on _id), documents, entries, \
            missing (entries that should be there), dangling (entries that should not). Both are 0 in a healthy store. \
            NOINDEX when the one named is not there or not ready.",
    examples: &[("IDX.VERIFY users", "{indexes: 2, documents: 2, entries: 4, missing: 0, dangling: 0}")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    if args.len() > 3 {
        return Err(CommandError::syntax());
    }
    let name = if args.len() == 3 { Some(args.text(2)?) } else { None };
    let Some(collection) = collection(args, 1, context)? else {
        return Err(CommandError::err(format!("no such collection: {}", args.text(1)?)));
    };
    if let Some(name) = name.filter(|name| *name != ID_INDEX) {
        let state = collection.index(name).map(|index| index.state());
        match state {
            Some("ready") => {}
            Some(state) => return Err(CommandError::new(ErrorCode::NoIndex, format!("index {name} is {state}"))),
            None => return Err(CommandError::new(ErrorCode::NoIndex, format!("no index {name}"))),
        }
    }
    let found = context.view.verify(&collection, name, ID_INDEX, || context.check(None))?;
    let figures = [
        ("indexes", found.indexes),
        ("documents", found.documents),
        ("entries", found.entries),
        ("missing", found.missing),
        ("dangling", found.dangling),
    ];
    Ok(Reply::Map(figures.map(|(name, figure)| (Reply::constant(name), Reply::count(figure))).to_vec()))
}
