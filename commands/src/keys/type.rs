//! TYPE.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::keyspace::type_name;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "TYPE",
    group: Group::Generic,
    summary: "Says what a key holds.",
    complexity: "O(1)",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "string, ReJSON-RL (what JSON.SET stores), or none",
    examples: &[("TYPE greeting", "string"), ("TYPE nobody", "none")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let found = context.key(args.bytes(1))?;
    Ok(Reply::Simple(found.map_or("none", |document| type_name(&document)).into()))
}
