//! FLUSHDB.

use super::flush;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "FLUSHDB",
    group: Group::Server,
    summary: "Drops all that is in the selected database.",
    complexity: "O(n), n being the collections; their space is reclaimed in the background",
    arity: -1,
    args: &[Arg::one_of("flush-type", &[Arg::word("ASYNC"), Arg::word("SYNC")]).optional()],
    categories: &["keyspace", "dangerous"],
    reply: "OK",
    examples: &[("FLUSHDB", "OK")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    flush(args, context.db..=context.db)
}
