//! STRLEN.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::keyspace::text;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "STRLEN",
    group: Group::String,
    summary: "Says how long the string of a key is.",
    complexity: "O(1)",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "bytes; 0 without such a key",
    examples: &[("STRLEN greeting", "(integer) 5")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    Ok(Reply::count(text(context, args.bytes(1))?.map_or(0, |text| text.len())))
}
