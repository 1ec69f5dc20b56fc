//! JSON.OBJLEN.

use veddb_storage::document::ValueRef;

use super::{Measure, PATH, expected, no_path};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.OBJLEN",
    group: Group::Json,
    summary: "Says how many members objects have.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: how many members each object of the path has, null for what is no object. In the older notation that of the first value alone, null without such a key or value",
    examples: &[(r#"JSON.OBJLEN user:1 $"#, r#"1) (integer) 4"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let measure = Measure {
        measure: &|value| match value {
            ValueRef::Object(members) => Some(Reply::count(members.iter().count())),
            _ => None,
        },
        refuse: &|_, value| expected("object", value),
        missing: &|_| Ok(Reply::Null),
        no_key: &|path| no_path(&path.text, "not an object"),
    };
    measure.run(args, context)
}
