//! MEMORY USAGE.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "USAGE",
    group: Group::Server,
    summary: "Says how many bytes a key takes where it is kept.",
    complexity: "O(1)",
    arity: -3,
    args: &[Arg::key("key"), Arg::integer("count").after("SAMPLES").optional()],
    keys: Keys { first: 2, last: 2, step: 1 },
    reply: "bytes of the record with the key and its seal, and of the entry in the index of keys; null without such a key. SAMPLES \
            is Redis's, and changes nothing",
    examples: &[("MEMORY USAGE greeting", "(integer) 128")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    if args.len() > 3 {
        let samples = args.len() == 5 && args.is(3, "SAMPLES");
        if !samples || args.integer(4)? < 0 {
            return Err(CommandError::syntax());
        }
    }
    let found = context.view.key(context.db, args.bytes(2))?;
    Ok(found.map_or(Reply::Null, |document| Reply::count(document.stored_bytes())))
}
