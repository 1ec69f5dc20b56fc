//! APPEND.

use veddb_storage::KeyValue;

use super::check_size;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{class, find, put};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "APPEND",
    group: Group::String,
    summary: "Appends to the string of a key.",
    complexity: "O(N) of the string",
    arity: 3,
    args: &[Arg::key("key"), Arg::string("value")],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "how long the string is now; without such a key it begins empty. An expiry stays",
    examples: &[("APPEND greeting ', world'", "(integer) 12")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key, more) = (context.db, args.bytes(1).clone(), args.bytes(2).clone());
    let most = context.limits.proto_max_bulk_len;
    Ok(Prepared::Unit(Box::new(move |tx| {
        let found = find(tx, db, &key)?;
        let (before, expires_ms) = match &found {
            Some(slot) => (slot.string()?, slot.expires_ms()),
            None => (&[][..], 0),
        };
        check_size(before.len() + more.len(), most)?;
        let value = [before, &more].concat();
        put(tx, db, &key, found.as_ref(), KeyValue::String(&value), expires_ms)?;
        tx.note_key(db, class::STRING, "append", &key);
        Ok(Reply::count(value.len()))
    })))
}
