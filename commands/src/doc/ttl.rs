//! DOC.TTL.

use super::expiry::show;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::expiry::seconds;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.TTL",
    group: Group::Document,
    summary: "Says how many seconds a document has to live.",
    complexity: "O(log N) of the collection's documents",
    arity: 3,
    args: &[Arg::collection(), Arg::string("id")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the seconds; -1 when the document does not expire, -2 when there is none",
    examples: &[("DOC.TTL users 7", "(integer) 60"), ("DOC.TTL users nobody", "(integer) -2")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    show(args, context, |expires_ms| seconds(expires_ms.saturating_sub(context.now_ms)))
}
