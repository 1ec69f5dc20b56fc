//! EXPIRETIME.

use super::show;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::expiry::seconds;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "EXPIRETIME",
    group: Group::Generic,
    summary: "Says when a key expires, seconds since 1970.",
    complexity: "O(1)",
    arity: 2,
    args: &[Arg::key("key")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the time; -1 when the key does not expire, -2 when there is none",
    examples: &[("EXPIRETIME greeting", "(integer) 4000000000"), ("EXPIRETIME nobody", "(integer) -2")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    show(args, context, seconds)
}
