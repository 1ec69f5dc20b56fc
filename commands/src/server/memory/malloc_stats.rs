//! MEMORY MALLOC-STATS: what Redis says where it does not know the allocator.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MALLOC-STATS",
    group: Group::Server,
    summary: "Says that there is no report of the allocator. MEMORY STATS has what is measured.",
    arity: 2,
    reply: "text",
    examples: &[("MEMORY MALLOC-STATS", "Stats not supported for the current allocator")],
    run: Run::Session(malloc_stats),
    ..Command::BLANK
};

fn malloc_stats(_args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::constant("Stats not supported for the current allocator"))
}
