//! CLIENT UNBLOCK.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::server::help::wrong_count;
use crate::session::Unblock;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "UNBLOCK",
    group: Group::Connection,
    summary: "Ends what another connection waits for (WAIT, WAITAOF), as if its time were up or with the error UNBLOCKED.",
    arity: -3,
    args: &[
        Arg::integer("client-id"),
        Arg::one_of("unblock-type", &[Arg::word("TIMEOUT"), Arg::word("ERROR")]).optional(),
    ],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "1, or 0 where the connection waits for nothing or there is none of this id",
    examples: &[("CLIENT UNBLOCK 7", "(integer) 1")],
    run: Run::Session(unblock),
    ..Command::BLANK
};

fn unblock(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let how = match args.len() {
        3 => Unblock::Timeout,
        4 if args.is(3, "TIMEOUT") => Unblock::Timeout,
        4 if args.is(3, "ERROR") => Unblock::Error,
        4 => return Err(CommandError::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(wrong_count(&super::SPEC, args)),
    };
    let id = args.integer(2)?;
    let ended = u64::try_from(id).is_ok_and(|id| session.unblock(id, how));
    Ok(Reply::Integer(ended.into()))
}
