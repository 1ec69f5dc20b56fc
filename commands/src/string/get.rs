//! GET.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::keyspace::text;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GET",
    group: Group::String,
    summary: "Returns the string of a key.",
    complexity: "O(1)",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the string, or null without such a key",
    examples: &[("GET greeting", r#""hello""#), ("GET nobody", "(nil)")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    Ok(text(context, args.bytes(1))?.map_or(Reply::Null, |text| text.reply()))
}
