//! DOC.EXPIRETIME.

use super::expiry::show;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::expiry::seconds;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.EXPIRETIME",
    group: Group::Document,
    summary: "Says when a document expires, in seconds since 1970.",
    complexity: "O(log N) of the collection's documents",
    arity: 3,
    args: &[Arg::collection(), Arg::string("id")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the moment; -1 when the document does not expire, -2 when there is none",
    examples: &[("DOC.EXPIRETIME users 7", "(integer) 1893456000"), ("DOC.EXPIRETIME users nobody", "(integer) -2")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    show(args, context, seconds)
}
