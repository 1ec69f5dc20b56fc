//! CLIENT SETNAME.

use crate::args::Args;
use crate::connection::is_printable;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SETNAME",
    group: Group::Connection,
    summary: "Names the connection; an empty name takes it away.",
    arity: 3,
    args: &[Arg::string("connection-name")],
    flags: &["noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CLIENT SETNAME worker", "OK")],
    run: Run::Session(setname),
    ..Command::BLANK
};

fn setname(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let name = args.bytes(2);
    if !is_printable(name) {
        return Err(invalid());
    }
    session.set_name(name);
    Ok(Reply::OK)
}

/// What HELLO SETNAME says of such a name too.
pub(in crate::connection) fn invalid() -> CommandError {
    CommandError::err("Client names cannot contain spaces, newlines or special characters.")
}
