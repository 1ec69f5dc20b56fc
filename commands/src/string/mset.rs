//! MSET.

use super::{pairs, set_all};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MSET",
    group: Group::String,
    summary: "Has these keys hold these strings, all at one moment.",
    complexity: "O(N) of the keys",
    arity: -3,
    args: &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()],
    keys: Keys { first: 1, last: -1, step: 2 },
    flags: &["denyoom"],
    reply: "OK; expiries are gone",
    examples: &[("MSET a 1 b 2", "OK")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, pairs) = (context.db, pairs(args, "mset")?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        set_all(tx, db, &pairs)?;
        Ok(Reply::OK)
    })))
}
