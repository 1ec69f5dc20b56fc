//! Keys as commands use them: found, put and taken away, in reads and in units, with what is noted of it.
//!
//! Does not know how they are stored.

use std::ops::Deref;
use std::sync::Arc;

use veddb_storage::{CollectionId, Document, KeyValue, RecordId, Transaction, key_value, pack_key};

use crate::context::ReadContext;
use crate::error::{CommandError, ErrorCode};
use crate::reply::Reply;

/// Classes of what is noted of keys, as letters of `notify-keyspace-events`.
pub(crate) mod class {
    /// Commands on keys of any type.
    pub(crate) const GENERIC: char = 'g';
    /// Commands on strings.
    pub(crate) const STRING: char = '$';
    /// Commands on JSON values, which Redis leaves to a module.
    pub(crate) const MODULE: char = 'd';
    /// Keys whose time has come.
    pub(crate) const EXPIRED: char = 'x';
    /// A key that was not there before.
    pub(crate) const NEW: char = 'n';
}

/// A key as a unit found it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    collection: CollectionId,
    record: RecordId,
    /// What it holds.
    pub(crate) document: Arc<Document>,
}

impl Slot {
    /// What it holds.
    pub(crate) fn value(&self) -> KeyValue<'_> {
        key_value(&self.document)
    }

    /// The string that it holds.
    pub(crate) fn string(&self) -> Result<&[u8], CommandError> {
        string(&self.document)
    }

    /// When it expires; 0 when it does not.
    pub(crate) fn expires_ms(&self) -> u64 {
        self.document.expires_ms
    }
}

/// Redis's answer to a key of another type.
pub(crate) fn wrong_type() -> CommandError {
    CommandError::new(ErrorCode::WrongType, "Operation against a key holding the wrong kind of value")
}

fn string(document: &Document) -> Result<&[u8], CommandError> {
    match key_value(document) {
        KeyValue::String(text) => Ok(text),
        KeyValue::Json(_) => Err(wrong_type()),
    }
}

/// A key, as the unit sees it.
pub(crate) fn find(tx: &mut Transaction<'_>, db: u8, key: &[u8]) -> Result<Option<Slot>, CommandError> {
    let found = tx.key(db, key)?;
    Ok(found.map(|(collection, record, document)| Slot { collection, record, document }))
}

/// The same of a key whose value is answered, which is counted as Redis counts what is read.
pub(crate) fn look_up(tx: &mut Transaction<'_>, db: u8, key: &[u8]) -> Result<Option<Slot>, CommandError> {
    let found = find(tx, db, key)?;
    tx.note_lookup(found.is_some());
    Ok(found)
}

/// Has a key hold this; `found` is what [`find`] found there in this unit.
pub(crate) fn put(
    tx: &mut Transaction<'_>,
    db: u8,
    key: &[u8],
    found: Option<&Slot>,
    value: KeyValue<'_>,
    expires_ms: u64,
) -> Result<(), CommandError> {
    let body = pack_key(key, value);
    match found {
        Some(Slot { collection, record, document }) => {
            tx.replace_expiring(*collection, *record, document, body, expires_ms)?;
        }
        None => {
            let keys = tx.keys_or_create(db)?;
            tx.insert_expiring(keys, &veddb_storage::key_id(key), body, expires_ms)?;
            tx.note_key(db, class::NEW, "new", key);
        }
    }
    Ok(())
}

/// Takes a key away; nothing is noted.
pub(crate) fn take(tx: &mut Transaction<'_>, slot: &Slot) -> Result<(), CommandError> {
    Ok(tx.delete(slot.collection, slot.record, &slot.document)?)
}

/// Takes a key away; whether there was one.
pub(crate) fn delete(tx: &mut Transaction<'_>, db: u8, key: &[u8]) -> Result<bool, CommandError> {
    let Some(slot) = find(tx, db, key)? else { return Ok(false) };
    take(tx, &slot)?;
    tx.note_key(db, class::GENERIC, "del", key);
    Ok(true)
}

/// Gives a key another expiry, 0 for none. One that has passed deletes it.
pub(crate) fn set_expiry(
    tx: &mut Transaction<'_>,
    db: u8,
    key: &[u8],
    slot: &Slot,
    expires_ms: u64,
) -> Result<(), CommandError> {
    if expires_ms != 0 && expires_ms <= tx.now_ms() {
        take(tx, slot)?;
        tx.note_key(db, class::GENERIC, "del", key);
        return Ok(());
    }
    tx.set_expiry(slot.collection, slot.record, &slot.document, expires_ms)?;
    tx.note_key(db, class::GENERIC, if expires_ms == 0 { "persist" } else { "expire" }, key);
    Ok(())
}

/// A string that a key holds.
#[derive(Debug)]
pub(crate) struct Text(Arc<Document>);

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        string(&self.0).unwrap_or_default()
    }
}

impl Text {
    /// As a reply.
    pub(crate) fn reply(&self) -> Reply {
        Reply::Bulk(bytes::Bytes::copy_from_slice(self))
    }
}

/// The string of a key, as a read sees it.
pub(crate) fn text(context: &ReadContext<'_>, key: &[u8]) -> Result<Option<Text>, CommandError> {
    let Some(document) = context.key(key)? else { return Ok(None) };
    string(&document)?;
    Ok(Some(Text(document)))
}

/// The string of a key as a reply; null without one.
pub(crate) fn string_reply(found: Option<&Slot>) -> Result<Reply, CommandError> {
    let Some(slot) = found else { return Ok(Reply::Null) };
    Ok(Reply::Bulk(bytes::Bytes::copy_from_slice(slot.string()?)))
}

/// The type of a key, as TYPE names it.
pub(crate) fn type_name(document: &Document) -> &'static str {
    match key_value(document) {
        KeyValue::String(_) => "string",
        KeyValue::Json(_) => "ReJSON-RL",
    }
}
