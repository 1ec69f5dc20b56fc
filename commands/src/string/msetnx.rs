//! MSETNX.

use super::{pairs, set_all};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::find;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MSETNX",
    group: Group::String,
    summary: "Has these keys hold these strings unless one of them holds something.",
    complexity: "O(N) of the keys",
    arity: -3,
    args: &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()],
    keys: Keys { first: 1, last: -1, step: 2 },
    flags: &["denyoom"],
    reply: "1, or 0 when one of the keys was there: then none is set",
    examples: &[("MSETNX a 1 b 2", "(integer) 1"), ("MSETNX b 3 c 4", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, pairs) = (context.db, pairs(args, "msetnx")?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        for (key, _) in &pairs {
            if find(tx, db, key)?.is_some() {
                return Ok(Reply::Integer(0));
            }
        }
        set_all(tx, db, &pairs)?;
        Ok(Reply::Integer(1))
    })))
}
