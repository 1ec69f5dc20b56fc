//! QUIT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "QUIT",
    group: Group::Connection,
    summary: "Closes the connection once every reply is sent.",
    arity: -1,
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    reply: "OK",
    examples: &[("QUIT", "OK")],
    run: Run::Session(quit),
    ..Command::BLANK
};

fn quit(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.close();
    Ok(Reply::OK)
}
