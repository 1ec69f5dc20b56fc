//! SHUTDOWN.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::Shutdown;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SHUTDOWN",
    group: Group::Server,
    summary: "Answers what is running, closes the store and stops the server. SAVE and NOSAVE do the same: what was \
              acknowledged is in the log.",
    complexity: "O(n), n being the index pages changed since the last checkpoint",
    arity: -1,
    args: &[
        Arg::one_of("save-selector", &[Arg::word("NOSAVE"), Arg::word("SAVE")]).optional(),
        Arg::word("NOW"),
        Arg::word("FORCE"),
        Arg::word("ABORT"),
    ],
    flags: &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"],
    reply: "nothing: the connection is closed",
    examples: &[("SHUTDOWN", "")],
    run: Run::Session(shutdown),
    ..Command::BLANK
};

fn shutdown(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut given = [false; 5];
    for at in 1..args.len() {
        let word = ["SAVE", "NOSAVE", "NOW", "FORCE", "ABORT"].iter().position(|word| args.is(at, word));
        let slot = word.and_then(|word| given.get_mut(word)).ok_or_else(CommandError::syntax)?;
        *slot = true;
    }
    let [save, nosave, now, _force, abort] = given;
    if (save && nosave) || (abort && args.len() > 2) {
        return Err(CommandError::syntax());
    }
    if abort {
        // Once stopping has begun no command is run any more, so whoever can ask is too early.
        return Err(CommandError::err("No shutdown in progress."));
    }
    session.shutdown(if now { Shutdown::Now } else { Shutdown::Drain });
    session.close();
    Ok(Reply::OK)
}
