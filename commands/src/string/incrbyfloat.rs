//! INCRBYFLOAT.

use veddb_storage::KeyValue;

use super::decimal;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{class, find, put};
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "INCRBYFLOAT",
    group: Group::String,
    summary: "Adds a number to the one that a key holds as text.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key"), Arg::new("increment", ArgKind::Double)],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "what it is then, with at most 17 digits after the point; without such a key it begins at 0. The sum is a decimal one, so 0.1 and 0.2 are 0.3. An expiry stays",
    examples: &[("INCRBYFLOAT price 0.25", r#""10.75""#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key) = (context.db, args.bytes(1).clone());
    let by = args.bytes(2).clone();
    Ok(Prepared::Unit(Box::new(move |tx| {
        let found = find(tx, db, &key)?;
        let (before, expires_ms) = match &found {
            Some(slot) => (slot.string()?, slot.expires_ms()),
            None => (&b"0"[..], 0),
        };
        let value = decimal::sum(before, &by)?;
        put(tx, db, &key, found.as_ref(), KeyValue::String(value.as_bytes()), expires_ms)?;
        tx.note_key(db, class::STRING, "incrbyfloat", &key);
        Ok(Reply::text(value))
    })))
}
