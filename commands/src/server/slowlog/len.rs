//! SLOWLOG LEN.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LEN",
    group: Group::Server,
    summary: "How many commands that took long are kept: `slowlog-max-len` at most.",
    arity: 2,
    flags: &["admin", "loading", "stale"],
    reply: "integer",
    examples: &[("SLOWLOG LEN", "(integer) 14")],
    run: Run::Session(len),
    ..Command::BLANK
};

fn len(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.slow_commands_len()))
}
