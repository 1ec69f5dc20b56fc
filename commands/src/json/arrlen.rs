//! JSON.ARRLEN.

use veddb_storage::document::ValueRef;

use super::{Measure, PATH, no_key, no_path};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.ARRLEN",
    group: Group::Json,
    summary: "Says how long arrays are.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: how many elements each array of the path has, null for what is no array. In the older notation that of the first value alone, null without such a key",
    examples: &[(r#"JSON.ARRLEN user:1 $.tags"#, r#"1) (integer) 3"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let measure = Measure {
        measure: &|value| match value {
            ValueRef::Array(elements) => Some(Reply::count(elements.len())),
            _ => None,
        },
        refuse: &|path, _| no_path(&path.original, "not an array"),
        missing: &|path| Err(no_path(&path.original, "")),
        no_key: &|_| no_key(),
    };
    measure.run(args, context)
}
