//! CLIENT SETINFO.

use crate::args::Args;
use crate::connection::is_printable;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::LibraryField;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SETINFO",
    group: Group::Connection,
    summary: "Records the name or the version of the client's library.",
    arity: 4,
    args: &[Arg::one_of("attr", &[Arg::string("libname").after("LIB-NAME"), Arg::string("libver").after("LIB-VER")])],
    flags: &["noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CLIENT SETINFO LIB-NAME redis-py", "OK")],
    run: Run::Session(setinfo),
    ..Command::BLANK
};

fn setinfo(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let option = String::from_utf8_lossy(args.bytes(2));
    let field = match option.to_ascii_lowercase().as_str() {
        "lib-name" => LibraryField::Name,
        "lib-ver" => LibraryField::Version,
        _ => return Err(CommandError::err(format!("Unrecognized option '{option}'"))),
    };
    if !is_printable(args.bytes(3)) {
        return Err(CommandError::err(format!(
            "{} cannot contain spaces, newlines or special characters.",
            option.to_ascii_lowercase()
        )));
    }
    session.set_library(field, args.bytes(3));
    Ok(Reply::OK)
}
