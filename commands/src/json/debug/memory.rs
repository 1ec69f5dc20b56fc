//! JSON.DEBUG MEMORY.

use veddb_storage::document::Packed;

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::json::{PATH, find, no_path, path_at};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MEMORY",
    group: Group::Json,
    summary: "Says how many bytes values take in the form in which they are kept.",
    complexity: "O(N) of the value",
    arity: -3,
    args: &[Arg::key("key"), PATH],
    keys: Keys { first: 2, last: 2, step: 1 },
    reply: "array: bytes of each value of the path; empty without such a key. In the older notation those of the first value alone, 0 without such a key",
    examples: &[("JSON.DEBUG MEMORY user:1", "(integer) 53")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let path = path_at(args, 3)?;
    let found = find(args, 2, context)?;
    let size = |value| Reply::count(Packed::from_ref(value).size());
    Ok(match found {
        None if path.legacy => Reply::Integer(0),
        None => Reply::Array(Vec::new()),
        Some(found) if path.legacy => size(found.first(&path)?.ok_or_else(|| no_path(&path.text, ""))?),
        Some(found) => Reply::Array(found.values(&path)?.into_iter().map(size).collect()),
    })
}
