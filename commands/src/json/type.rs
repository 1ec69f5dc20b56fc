//! JSON.TYPE.

use super::{PATH, find, path_at, type_name};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.TYPE",
    group: Group::Json,
    summary: "Names the types of values.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: null, boolean, integer, number, string, array or object, for each value of the path; null without such a key. In the older notation that of the first value alone, null without one. Under RESP3 all this stands in an array of one element",
    examples: &[(r#"JSON.TYPE user:1 $.name"#, r#"1) "string""#), (r#"JSON.TYPE user:1"#, r#""object""#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let path = path_at(args, 2)?;
    let name = |value| Reply::constant(type_name(value));
    let found = match find(args, 1, context)? {
        None => Reply::Null,
        Some(found) if path.legacy => found.first(&path)?.map_or(Reply::Null, name),
        Some(found) => Reply::Array(found.values(&path)?.into_iter().map(name).collect()),
    };
    Ok(if context.resp3 { Reply::Array(vec![found]) } else { found })
}
