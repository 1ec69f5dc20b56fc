//! JSON.RESP.

use veddb_storage::document::ValueRef;

use super::{PATH, find, no_path, path_at};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.RESP",
    group: Group::Json,
    summary: "Returns values in the protocol's own types.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: each value of the path. An array begins with a simple string `[`, an object is an array that begins with `{`, then names and values; booleans are the simple strings true and false. In the older notation the first value alone; null without such a key",
    examples: &[(r#"JSON.RESP user:1 .tags"#, r#"1) [ 2) (integer) 1 3) (integer) 2 4) (integer) 3"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let path = path_at(args, 2)?;
    let Some(found) = find(args, 1, context)? else { return Ok(Reply::Null) };
    let values = match path.legacy {
        true => vec![found.first(&path)?.ok_or_else(|| no_path(&path.text, ""))?],
        false => found.values(&path)?,
    };
    found.claim_replies(&values)?;
    let mut replies: Vec<Reply> = values.into_iter().map(reply).collect();
    Ok(if path.legacy { replies.pop().unwrap_or(Reply::Null) } else { Reply::Array(replies) })
}

/// Recursion is bounded by the depth of a document.
fn reply(value: ValueRef<'_>) -> Reply {
    match value {
        ValueRef::Bool(true) => Reply::Simple("true".into()),
        ValueRef::Bool(false) => Reply::Simple("false".into()),
        ValueRef::Int32(n) => Reply::Integer(i64::from(n)),
        ValueRef::Int64(n) => Reply::Integer(n),
        ValueRef::Double(n) => Reply::Double(n),
        ValueRef::String(text) => Reply::text(text),
        ValueRef::Array(elements) => {
            let mut all = vec![Reply::Simple("[".into())];
            all.extend(elements.iter().map(reply));
            Reply::Array(all)
        }
        ValueRef::Object(members) => {
            let mut all = vec![Reply::Simple("{".into())];
            for (name, value) in members.iter() {
                all.push(Reply::text(name));
                all.push(reply(value));
            }
            Reply::Array(all)
        }
        _ => Reply::Null,
    }
}
