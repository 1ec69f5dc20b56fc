//! JSON.OBJKEYS.

use veddb_storage::document::ValueRef;

use super::{Measure, PATH, no_key, no_path};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.OBJKEYS",
    group: Group::Json,
    summary: "Names the members of objects.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: an array of the names in each object of the path, null for what is no object. In the older notation those of the first value alone, null without such a key or value",
    examples: &[(r#"JSON.OBJKEYS user:1 ."#, r#"1) "name" 2) "visits" 3) "on" 4) "tags""#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let measure = Measure {
        measure: &|value| match value {
            ValueRef::Object(members) => {
                Some(Reply::Array(members.iter().map(|(name, _)| Reply::text(name)).collect()))
            }
            _ => None,
        },
        refuse: &|path, _| no_path(&path.text, "not an object"),
        missing: &|_| Ok(Reply::Null),
        no_key: &|_| no_key(),
    };
    measure.run(args, context)
}
