//! GET, SET and the other commands on strings. One file a command, and the few things they share.

pub mod append;
mod decimal;
pub mod decr;
pub mod decrby;
pub mod get;
pub mod getdel;
pub mod getex;
pub mod getrange;
pub mod getset;
pub mod incr;
pub mod incrby;
pub mod incrbyfloat;
pub mod lcs;
pub mod mget;
pub mod mset;
pub mod msetnx;
mod options;
pub mod psetex;
pub mod set;
pub mod setex;
pub mod setnx;
pub mod setrange;
pub mod strlen;
pub mod substr;

use bytes::Bytes;
use veddb_storage::{KeyValue, Transaction};

use crate::args::{Args, parse_integer};
use crate::context::{Prepared, ReadContext, WriteContext};
use crate::error::CommandError;
use crate::keyspace::{Slot, class, find, look_up, put, string_reply, take, text};
use crate::reply::Reply;
use options::{Expiry, Options};

/// Refuses a string that would be longer than a request could bring.
fn check_size(bytes: usize, most: usize) -> Result<(), CommandError> {
    if bytes > most {
        return Err(CommandError::err("string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    Ok(())
}

/// What SET does.
fn store(key: &Bytes, value: &Bytes, options: Options, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (db, key, value) = (context.db, key.clone(), value.clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let found = if options.get { look_up(tx, db, &key)? } else { find(tx, db, &key)? };
        let before = if options.get { Some(string_reply(found.as_ref())?) } else { None };
        let refused = if found.is_some() { options.only_new } else { options.only_existing };
        if refused {
            return Ok(before.unwrap_or(Reply::Null));
        }
        let expires_ms = match options.expiry {
            None | Some(Expiry::Never) => 0,
            Some(Expiry::Keep) => found.as_ref().map_or(0, Slot::expires_ms),
            Some(Expiry::At(moment)) => moment.expires_ms(tx.now_ms()),
        };
        // What has passed already is told in Redis's order: the key was set, and has expired.
        let gone = expires_ms != 0 && expires_ms <= tx.now_ms();
        put(tx, db, &key, found.as_ref(), KeyValue::String(&value), if gone { 0 } else { expires_ms })?;
        tx.note_key(db, class::STRING, "set", &key);
        if matches!(options.expiry, Some(Expiry::At(_))) {
            tx.note_key(db, class::GENERIC, "expire", &key);
        }
        if gone && let Some(slot) = find(tx, db, &key)? {
            take(tx, &slot)?;
            tx.note_key(db, class::EXPIRED, "expired", &key);
        }
        Ok(before.unwrap_or(Reply::OK))
    })))
}

/// The pairs of MSET.
fn pairs(args: &Args, command: &str) -> Result<Vec<(Bytes, Bytes)>, CommandError> {
    let (pairs, rest) = args.from(1).as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::arity(command));
    }
    Ok(pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect())
}

fn set_all(tx: &mut Transaction<'_>, db: u8, pairs: &[(Bytes, Bytes)]) -> Result<(), CommandError> {
    for (key, value) in pairs {
        let found = find(tx, db, key)?;
        put(tx, db, key, found.as_ref(), KeyValue::String(value), 0)?;
        tx.note_key(db, class::STRING, "set", key);
    }
    Ok(())
}

/// What INCR and its like do.
fn add(args: &Args, context: &WriteContext<'_>, by: i64) -> Result<Prepared, CommandError> {
    let (db, key) = (context.db, args.bytes(1).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let found = find(tx, db, &key)?;
        let (before, expires_ms) = match &found {
            Some(slot) => {
                let number = parse_integer(slot.string()?).ok_or_else(CommandError::not_an_integer)?;
                (number, slot.expires_ms())
            }
            None => (0, 0),
        };
        let sum = before.checked_add(by);
        let sum = sum.ok_or_else(|| CommandError::err("increment or decrement would overflow"))?;
        let mut digits = itoa::Buffer::new();
        let value = KeyValue::String(digits.format(sum).as_bytes());
        put(tx, db, &key, found.as_ref(), value, expires_ms)?;
        tx.note_key(db, class::STRING, "incrby", &key);
        Ok(Reply::Integer(sum))
    })))
}

/// What GETRANGE does.
fn range(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let (start, end) = (args.integer(2)?, args.integer(3)?);
    let Some(text) = text(context, args.bytes(1))? else { return Ok(Reply::Bulk(Bytes::new())) };
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    // As in Redis: both before the beginning, and the wrong way round, is nothing.
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Bulk(Bytes::new()));
    }
    let from_start = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end || length == 0 {
        return Ok(Reply::Bulk(Bytes::new()));
    }
    let bounds = usize::try_from(start).unwrap_or(0)..usize::try_from(end + 1).unwrap_or(0);
    Ok(Reply::Bulk(Bytes::copy_from_slice(text.get(bounds).unwrap_or_default())))
}
