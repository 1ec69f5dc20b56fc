//! KEY.RESUME: has a rotation go on.

use super::ask;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// KEY.RESUME
pub static SPEC: Command = Command {
    name: "KEY.RESUME",
    group: Group::Key,
    summary: "Has a rotation go on that was paused, or that failed and whose cause is gone.",
    arity: 1,
    flags: &["admin", "no_multi"],
    reply: "OK; an error when no rotation is paused or has failed.",
    examples: &[("KEY.RESUME", "OK")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(_args: &Args, _context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    Ok(ask(|keys, _| Ok(keys.resume().map(|()| Reply::OK)?)))
}
