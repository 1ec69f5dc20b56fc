//! MGET.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::error::ErrorCode;
use crate::keyspace::text;
use crate::queries;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MGET",
    group: Group::String,
    summary: "Returns the strings of these keys.",
    complexity: "O(N) of the keys",
    arity: -2,
    args: &[Arg::key("key").multiple()],
    keys: Keys { first: 1, last: -1, step: 1 },
    flags: &["fast"],
    reply: "array: a string for each key, or null where there is none, also where the key holds something else",
    examples: &[("MGET greeting nobody", r#"1) "hello" 2) (nil)"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let one = |key: &bytes::Bytes| match text(context, key) {
        Ok(found) => Ok(found.map_or(Reply::Null, |text| text.reply())),
        Err(error) if error.code == ErrorCode::WrongType => Ok(Reply::Null),
        Err(error) => Err(error),
    };
    queries::gather(context, args.from(1).iter().map(one))
}
