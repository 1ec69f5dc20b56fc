//! CLIENT PAUSE.

use std::time::Duration;

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::server::help::wrong_count;
use crate::session::Paused;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "PAUSE",
    group: Group::Connection,
    summary: "Holds back every client's commands, or only those that may write or publish, for so many milliseconds or until \
              CLIENT UNPAUSE. Of several pauses the longest and the strictest holds.",
    arity: -3,
    args: &[Arg::integer("timeout"), Arg::one_of("mode", &[Arg::word("WRITE"), Arg::word("ALL")]).optional()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK",
    examples: &[("CLIENT PAUSE 1000 WRITE", "OK")],
    run: Run::Session(pause),
    ..Command::BLANK
};

fn pause(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let what = match args.len() {
        3 => Paused::All,
        4 if args.is(3, "WRITE") => Paused::Writes,
        4 if args.is(3, "ALL") => Paused::All,
        4 => return Err(CommandError::err("CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(wrong_count(&super::SPEC, args)),
    };
    session.pause(what, timeout(args, 2)?.unwrap_or_default());
    Ok(Reply::OK)
}

/// Milliseconds as Redis takes them where something waits; none where 0 stands for no end.
pub(crate) fn timeout(args: &Args, at: usize) -> Result<Option<Duration>, CommandError> {
    let time_ms = args.integer(at).map_err(|_| CommandError::err("timeout is not an integer or out of range"))?;
    let time_ms = u64::try_from(time_ms).map_err(|_| CommandError::err("timeout is negative"))?;
    // Redis adds the time since 1970, which must not pass an i64.
    if time_ms > i64::MAX as u64 / 2 {
        return Err(CommandError::err("timeout is out of range"));
    }
    Ok(Some(Duration::from_millis(time_ms)).filter(|time| !time.is_zero()))
}
