//! JSON.STRLEN.

use veddb_storage::document::ValueRef;

use super::{Measure, PATH, expected, no_key, no_path};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.STRLEN",
    group: Group::Json,
    summary: "Says how long strings are.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: how many bytes each string of the path has, null for what is no string. In the older notation that of the first value alone, null without such a key",
    examples: &[(r#"JSON.STRLEN user:1 $.name"#, r#"1) (integer) 3"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let measure = Measure {
        measure: &|value| match value {
            ValueRef::String(text) => Some(Reply::count(text.len())),
            _ => None,
        },
        refuse: &|_, value| expected("string", value),
        missing: &|path| Err(no_path(&path.text, "")),
        no_key: &|_| no_key(),
    };
    measure.run(args, context)
}
