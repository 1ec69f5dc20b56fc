//! IDX.LIST: the indexes of a collection.

use veddb_storage::{Index, Trees};

use crate::args::Args;
use crate::context::ReadContext;
use crate::doc::collection;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// IDX.LIST
pub static SPEC: Command = Command {
    name: "IDX.LIST",
    group: Group::Index,
    summary: "The indexes of a collection and how they are used.",
    complexity: "O(N) with N the number of indexes; sizes are measured from one page in sixteen.",
    arity: 2,
    args: &[Arg::collection()],
    keys: Keys::FIRST,
    flags: &["no_multi", "slow-read"],
    reply: "Array of maps, beside the index on _id: name, keys, unique, sparse, partial (a filter or null), expireAfter \
            (seconds or null), state (building, ready, failed), progress (0 to 1), entries, size (bytes of its pages), \
            hits (queries that used it since the start), lastUsed (ms since 1970, or null), error (why the build failed, or \
            null).",
    examples: &[("IDX.LIST users", r#"[{name: "by_age", keys: "{\"age\":1}", .., state: "ready", progress: 1, ..}]"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let Some(collection) = collection(args, 1, context)? else { return Ok(Reply::Array(Vec::new())) };
    let trees = context.view.trees();
    let maps: Result<Vec<Reply>, CommandError> =
        collection.indexes().iter().map(|index| describe(trees, index)).collect();
    Ok(Reply::Array(maps?))
}

fn describe(trees: Trees<'_>, index: &Index) -> Result<Reply, CommandError> {
    let definition = &index.spec().definition;
    let text = |text: Option<&str>| text.map_or(Reply::Null, Reply::text);
    let number = |number: Option<u64>| number.map_or(Reply::Null, Reply::count);
    let (hits, last_used_ms) = index.usage();
    let members = [
        ("name", Reply::text(definition.name.as_str())),
        ("keys", Reply::text(definition.keys.as_str())),
        ("unique", Reply::Boolean(definition.unique)),
        ("sparse", Reply::Boolean(definition.sparse)),
        ("partial", text(definition.partial.as_deref())),
        ("expireAfter", number(definition.expire_after_s)),
        ("state", Reply::constant(index.state())),
        ("progress", Reply::Double(index.progress())),
        ("entries", Reply::count(trees.entries(index)?)),
        ("size", Reply::count(trees.size(index)?)),
        ("hits", Reply::count(hits)),
        ("lastUsed", number(last_used_ms)),
        ("error", text(index.failure())),
    ];
    Ok(Reply::Map(members.map(|(name, value)| (Reply::constant(name), value)).to_vec()))
}
