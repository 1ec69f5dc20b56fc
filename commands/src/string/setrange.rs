//! SETRANGE.

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
    name: "SETRANGE",
    group: Group::String,
    summary: "Overwrites a part of the string of a key.",
    complexity: "O(N) of the string",
    arity: 4,
    args: &[Arg::key("key"), Arg::integer("offset"), Arg::string("value")],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "how long the string is now; what was not there before the offset is zero bytes. An expiry stays",
    examples: &[("SETRANGE greeting 0 J", "(integer) 5")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key, part) = (context.db, args.bytes(1).clone(), args.bytes(3).clone());
    let most = context.limits.proto_max_bulk_len;
    let Ok(offset) = usize::try_from(args.integer(2)?) else { return Err(CommandError::err("offset is out of range")) };
    Ok(Prepared::Unit(Box::new(move |tx| {
        let found = find(tx, db, &key)?;
        let (before, expires_ms) = match &found {
            Some(slot) => (slot.string()?, slot.expires_ms()),
            None => (&[][..], 0),
        };
        if part.is_empty() {
            return Ok(Reply::count(before.len()));
        }
        let end = offset.saturating_add(part.len());
        check_size(end, most)?;
        let mut value = before.to_vec();
        value.resize(before.len().max(end), 0);
        if let Some(place) = value.get_mut(offset..end) {
            place.copy_from_slice(&part);
        }
        put(tx, db, &key, found.as_ref(), KeyValue::String(&value), expires_ms)?;
        tx.note_key(db, class::STRING, "setrange", &key);
        Ok(Reply::count(value.len()))
    })))
}
