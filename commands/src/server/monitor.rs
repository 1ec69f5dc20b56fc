//! MONITOR: every command of every client, as it is carried out.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MONITOR",
    group: Group::Server,
    summary: "Has the connection hear of every command that is carried out, until RESET or QUIT. Commands of administrators \
              are not shown, nor are passwords; who does not read is cut off at `client-output-buffer-limit pubsub`.",
    arity: 1,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "OK, then a status line a command: the time, database and client, and the request",
    examples: &[("MONITOR", "OK\n1339518083.107412 [0 127.0.0.1:60866] \"doc.get\" \"users\" \"7\"")],
    run: Run::Session(monitor),
    ..Command::BLANK
};

fn monitor(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if session.is_in_exec() {
        return Err(CommandError::err("MONITOR isn't allowed for DENY BLOCKING client"));
    }
    session.monitor();
    Ok(Reply::OK)
}
