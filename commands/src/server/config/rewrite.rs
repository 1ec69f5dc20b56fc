//! CONFIG REWRITE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REWRITE",
    group: Group::Server,
    summary: "Writes the settings back to the configuration file, whose comments and order it keeps.",
    complexity: "O(n), n being the number of lines",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CONFIG REWRITE", "OK")],
    run: Run::Session(rewrite),
    ..Command::BLANK
};

fn rewrite(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.config_rewrite()?;
    Ok(Reply::OK)
}
