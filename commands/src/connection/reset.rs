//! RESET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RESET",
    group: Group::Connection,
    summary: "Puts the connection back into the state it had when it was opened.",
    arity: 1,
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    reply: "RESET as a status",
    examples: &[("RESET", "RESET")],
    run: Run::Session(reset),
    ..Command::BLANK
};

fn reset(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.reset();
    Ok(Reply::Simple("RESET".into()))
}
