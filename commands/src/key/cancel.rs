//! KEY.CANCEL: brings all records back to the key that a rotation began with.

use super::ask;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// KEY.CANCEL
pub static SPEC: Command = Command {
    name: "KEY.CANCEL",
    group: Group::Key,
    summary: "Turns the rotation round: new records are under the key it began with at once, those that were brought to the \
              new one are brought back, and the new one is erased.",
    complexity: "O(1); in the background O(N) with N the number of records",
    arity: 1,
    flags: &["admin", "no_multi"],
    reply: "The number of the key under which all records come. An error when no rotation is going on; BUSY when it was \
            cancelled already.",
    examples: &[("KEY.CANCEL", "(integer) 1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(_args: &Args, _context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    Ok(ask(|keys, _| Ok(keys.cancel().map(Reply::count)?)))
}
