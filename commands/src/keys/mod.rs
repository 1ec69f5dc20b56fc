//! DEL, EXPIRE, SCAN and the other commands on keys of any type. One file a command, and the few things they share.

pub mod copy;
pub mod del;
pub mod exists;
pub mod expire;
pub mod expireat;
pub mod expiretime;
pub mod list;
pub mod r#move;
pub mod object;
pub mod persist;
pub mod pexpire;
pub mod pexpireat;
pub mod pexpiretime;
pub mod pttl;
pub mod randomkey;
pub mod rename;
pub mod renamenx;
pub mod scan;
pub mod touch;
pub mod ttl;
pub mod r#type;
pub mod unlink;

use veddb_storage::Transaction;

use crate::args::Args;
use crate::context::{Prepared, ReadContext, WriteContext};
use crate::error::CommandError;
use crate::expiry::{Clock, Condition};
use crate::keyspace::{class, delete, find, put, set_expiry, take};
use crate::reply::Reply;

/// What DEL does.
fn delete_all(args: &Args, context: &WriteContext<'_>) -> Prepared {
    let (db, keys) = (context.db, args.from(1).to_vec());
    Prepared::Unit(Box::new(move |tx| {
        let mut deleted = 0;
        for key in &keys {
            deleted += i64::from(delete(tx, db, key)?);
        }
        Ok(Reply::Integer(deleted))
    }))
}

/// What EXISTS does.
fn count(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let mut count = 0;
    for (at, key) in args.from(1).iter().enumerate() {
        if at.is_multiple_of(64) {
            context.check(None)?;
        }
        count += i64::from(context.key(key)?.is_some());
    }
    Ok(Reply::Integer(count))
}

/// What RENAME and RENAMENX do.
fn rename(args: &Args, context: &WriteContext<'_>, only_new: bool) -> Prepared {
    let (db, from, to) = (context.db, args.bytes(1).clone(), args.bytes(2).clone());
    let done = move |done: i64| if only_new { Reply::Integer(done) } else { Reply::OK };
    Prepared::Unit(Box::new(move |tx| {
        let Some(slot) = find(tx, db, &from)? else { return Err(CommandError::err("no such key")) };
        if from == to {
            return Ok(done(0));
        }
        let there = find(tx, db, &to)?;
        if there.is_some() && only_new {
            return Ok(done(0));
        }
        if let Some(there) = there {
            take(tx, &there)?;
        }
        put(tx, db, &to, None, slot.value(), slot.expires_ms())?;
        take(tx, &slot)?;
        tx.note_key(db, class::GENERIC, "rename_from", &from);
        tx.note_key(db, class::GENERIC, "rename_to", &to);
        Ok(done(1))
    }))
}

/// A database that a command names.
fn database(tx: &Transaction<'_>, db: i64) -> Result<u8, CommandError> {
    let found = u8::try_from(db).ok().filter(|db| usize::from(*db) < tx.databases());
    found.ok_or_else(|| CommandError::err("DB index is out of range"))
}

/// What EXPIRE and its like do.
fn expire(args: &Args, context: &WriteContext<'_>, clock: Clock, command: &str) -> Result<Prepared, CommandError> {
    let condition = Condition::read(args, 3)?;
    let moment = clock.read(args, 2, context, command)?;
    let (db, key) = (context.db, args.bytes(1).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let Some(slot) = find(tx, db, &key)? else { return Ok(Reply::Integer(0)) };
        let expires_ms = moment.expires_ms(tx.now_ms());
        if !condition.holds(slot.expires_ms(), expires_ms) {
            return Ok(Reply::Integer(0));
        }
        set_expiry(tx, db, &key, &slot, expires_ms)?;
        Ok(Reply::Integer(1))
    })))
}

/// What TTL and its like do: -2 without a key, -1 without an expiry, else what `shown` makes of it.
fn show(args: &Args, context: &ReadContext<'_>, shown: impl FnOnce(u64) -> u64) -> Result<Reply, CommandError> {
    Ok(match context.key(args.bytes(1))? {
        None => Reply::Integer(-2),
        Some(document) if document.expires_ms == 0 => Reply::Integer(-1),
        Some(document) => Reply::count(shown(document.expires_ms)),
    })
}
