//! SELECT.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SELECT",
    group: Group::Connection,
    summary: "Chooses the database: a namespace of keys and of collections.",
    arity: 2,
    args: &[Arg::integer("index")],
    flags: &["loading", "stale", "fast"],
    reply: "OK",
    examples: &[("SELECT 1", "OK")],
    run: Run::Session(select),
    ..Command::BLANK
};

fn select(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let index = args.integer(1)?;
    match u8::try_from(index) {
        Ok(db) if db < session.databases() => session.select(db),
        _ => return Err(CommandError::err("DB index is out of range")),
    }
    Ok(Reply::OK)
}
