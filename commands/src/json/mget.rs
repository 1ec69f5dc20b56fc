//! JSON.MGET.

use super::layout::Layout;
use super::{find, path_at, text};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::{CommandError, ErrorCode};
use crate::queries;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.MGET",
    group: Group::Json,
    summary: "Returns the values at a path of several keys.",
    complexity: "O(N) of the values",
    arity: -3,
    args: &[Arg::key("key").multiple(), Arg::string("path")],
    keys: Keys { first: 1, last: -2, step: 1 },
    flags: &[],
    reply: "array: for each key the JSON array of the values, or in the older notation the first value; null where there is no such key or value, or it holds something else",
    examples: &[(r#"JSON.MGET user:1 nobody $.name"#, r#"1) "[\"Ada\"]" 2) (nil)"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let last = args.len() - 1;
    let path = path_at(args, last)?;
    let one = |at| {
        let found = match find(args, at, context) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Reply::Null),
            Err(error) if error.code == ErrorCode::WrongType => return Ok(Reply::Null),
            Err(error) => return Err(error),
        };
        if path.legacy {
            return Ok(found.first(&path)?.map_or(Reply::Null, text));
        }
        let mut out = Vec::new();
        Layout::default().put_array(&mut out, found.values(&path)?.into_iter(), 0);
        Ok(Reply::Bulk(out.into()))
    };
    queries::gather(context, (1..last).map(one))
}
