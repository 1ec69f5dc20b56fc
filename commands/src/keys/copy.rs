//! COPY.

use super::database;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{class, find, look_up, put, take};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "COPY",
    group: Group::Generic,
    summary: "Copies what a key holds to another key.",
    complexity: "O(N) of the value",
    arity: -3,
    args: &[
        Arg::key("source"),
        Arg::key("destination"),
        Arg::integer("destination-db").after("DB").optional(),
        Arg::word("REPLACE"),
    ],
    keys: Keys::FIRST_TWO,
    flags: &["denyoom"],
    reply: "1, or 0 without such a key, or when the destination is there and REPLACE is not said. The expiry is copied too",
    examples: &[("COPY greeting welcome", "(integer) 1"), ("COPY greeting welcome", "(integer) 0")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (from_db, from, to) = (context.db, args.bytes(1).clone(), args.bytes(2).clone());
    let (mut db, mut replace, mut at) = (i64::from(from_db), false, 3);
    while at < args.len() {
        if args.is(at, "REPLACE") {
            replace = true;
        } else if args.is(at, "DB") && at + 1 < args.len() {
            at += 1;
            db = args.integer(at)?;
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    Ok(Prepared::Unit(Box::new(move |tx| {
        let db = database(tx, db)?;
        if db == from_db && from == to {
            return Err(CommandError::err("source and destination objects are the same"));
        }
        let Some(slot) = look_up(tx, from_db, &from)? else { return Ok(Reply::Integer(0)) };
        let there = find(tx, db, &to)?;
        if there.is_some() && !replace {
            return Ok(Reply::Integer(0));
        }
        if let Some(there) = there {
            take(tx, &there)?;
        }
        put(tx, db, &to, None, slot.value(), slot.expires_ms())?;
        tx.note_key(db, class::GENERIC, "copy_to", &to);
        Ok(Reply::Integer(1))
    })))
}
