//! SETNX.

use veddb_storage::KeyValue;

use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{class, find, put};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SETNX",
    group: Group::String,
    summary: "Has a key hold a string unless it holds something.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key"), Arg::string("value")],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "1, or 0 when the key was there",
    examples: &[("SETNX greeting hello", "(integer) 1"), ("SETNX greeting hi", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key, value) = (context.db, args.bytes(1).clone(), args.bytes(2).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        if find(tx, db, &key)?.is_some() {
            return Ok(Reply::Integer(0));
        }
        put(tx, db, &key, None, KeyValue::String(&value), 0)?;
        tx.note_key(db, class::STRING, "set", &key);
        Ok(Reply::Integer(1))
    })))
}
