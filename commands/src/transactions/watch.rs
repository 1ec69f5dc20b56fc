//! WATCH.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "WATCH",
    group: Group::Transactions,
    summary: "Has the next EXEC do nothing if one of these keys and collections changes before it.",
    complexity: "O(N) of the names",
    arity: -2,
    args: &[Arg::new("name", ArgKind::Key).multiple()],
    keys: Keys { first: 1, last: -1, step: 1 },
    flags: &["noscript", "loading", "stale", "fast", "allow_busy"],
    reply: "OK",
    examples: &[("WATCH users", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.watch(args.from(1))?;
    Ok(Reply::OK)
}
