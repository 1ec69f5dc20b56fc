//! MOVE.

use super::database;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{class, find, put, take};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "MOVE",
    group: Group::Generic,
    summary: "Moves a key to another database.",
    complexity: "O(N) of the value",
    arity: 3,
    args: &[Arg::key("key"), Arg::integer("db")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "1, or 0 without such a key or when there is one of this name. The expiry goes with it",
    examples: &[("MOVE greeting 1", "(integer) 1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (from_db, key, db) = (context.db, args.bytes(1).clone(), args.integer(2)?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        let db = database(tx, db)?;
        if db == from_db {
            return Err(CommandError::err("source and destination objects are the same"));
        }
        let Some(slot) = find(tx, from_db, &key)? else { return Ok(Reply::Integer(0)) };
        if find(tx, db, &key)?.is_some() {
            return Ok(Reply::Integer(0));
        }
        put(tx, db, &key, None, slot.value(), slot.expires_ms())?;
        take(tx, &slot)?;
        tx.note_key(from_db, class::GENERIC, "move_from", &key);
        tx.note_key(db, class::GENERIC, "move_to", &key);
        Ok(Reply::Integer(1))
    })))
}
