//! KEY.PAUSE: has a rotation wait.

use super::ask;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// KEY.PAUSE
pub static SPEC: Command = Command {
    name: "KEY.PAUSE",
    group: Group::Key,
    summary: "Has the rotation wait, also over a restart, until KEY.RESUME. New records stay under the new key.",
    arity: 1,
    flags: &["admin", "no_multi"],
    reply: "OK; an error when no rotation is going on.",
    examples: &[("KEY.PAUSE", "OK")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(_args: &Args, _context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    Ok(ask(|keys, _| Ok(keys.pause().map(|()| Reply::OK)?)))
}
