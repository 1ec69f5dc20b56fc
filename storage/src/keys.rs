//! Keys: what `SET` and its like keep. Each is a document in a collection of the server's own, one in each database.
//!
//! The document's `_id` is a binary: a zero byte and the key, or a one and its SHA-256 where the key is too long for an index;
//! then the key itself stands in `k`. A string is in `s`, as bytes; a JSON value in `j`.
//!
//! Owns the form, and how a unit finds one. Does not know what commands do with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::Error;
use crate::collection::CollectionId;
use crate::document::codec::{ValueRef, pack_members};
use crate::document::record::Document;
use crate::record_id::RecordId;
use crate::transaction::Transaction;

/// The collection's name.
pub const KEYS: &str = "_keys";

/// The collections of users, of roles and of their tokens, formed as keys are; in database 0.
pub const USERS: &str = "_users";
/// See [`USERS`].
pub const ROLES: &str = "_roles";
/// See [`USERS`]: what is known of tokens that were issued or revoked.
pub const TOKENS: &str = "_tokens";
/// See [`USERS`]: what tokens are signed with.
pub const SIGNING_KEYS: &str = "_signing_keys";

/// See [`USERS`]: where the audit log ended, [`crate::AuditEnd`].
pub const AUDIT: &str = "_audit";

/// The server's own collections that outlive a start.
pub(crate) const LASTING: &[&str] = &[KEYS, USERS, ROLES, TOKENS, SIGNING_KEYS, AUDIT];

/// A longer key stands in its document, and its hash in the index.
const PLAIN_BYTES_MAX: usize = 511;

const PLAIN: u8 = 0;
const HASHED: u8 = 1;

/// How often commands looked for a key that they read, and whether it was there.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Lookups {
    pub(crate) fn note(&self, hits: u64, misses: u64) {
        for (counter, count) in [(&self.hits, hits), (&self.misses, misses)] {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Those that were there, and those that were not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub enum KeyValue<'a> {
    /// Bytes.
    String(&'a [u8]),
    /// A JSON value.
    Json(ValueRef<'a>),
}

/// Under what a key stands in the index on `_id`.
pub fn key_id(key: &[u8]) -> Vec<u8> {
    let mut id = Vec::with_capacity(1 + key.len().min(PLAIN_BYTES_MAX));
    if key.len() <= PLAIN_BYTES_MAX {
        id.push(PLAIN);
        id.extend_from_slice(key);
    } else {
        id.push(HASHED);
        id.extend_from_slice(&Sha256::digest(key));
    }
    id
}

/// The document's body.
pub fn pack_key(key: &[u8], value: KeyValue<'_>) -> Box<[u8]> {
    let id = key_id(key);
    let bytes = |bytes| ValueRef::Binary { subtype: 0, bytes };
    let value = match value {
        KeyValue::String(text) => ("s", bytes(text)),
        KeyValue::Json(value) => ("j", value),
    };
    if key.len() <= PLAIN_BYTES_MAX {
        pack_members(&[("_id", bytes(&id)), value])
    } else {
        pack_members(&[("_id", bytes(&id)), ("k", bytes(key)), value])
    }
}

/// The key of a document.
pub fn key_of(document: &Document) -> &[u8] {
    let binary = |name| match document.root().get(name) {
        Some(ValueRef::Binary { bytes, .. }) => bytes,
        // Nothing else is stored there; damage is found when a body is opened, before it comes here.
        _ => &[],
    };
    match binary("_id").split_first() {
        Some((&PLAIN, key)) => key,
        _ => binary("k"),
    }
}

/// What the key of a document holds.
pub fn key_value(document: &Document) -> KeyValue<'_> {
    let root = document.root();
    match (root.get("s"), root.get("j")) {
        (Some(ValueRef::Binary { bytes, .. }), _) => KeyValue::String(bytes),
        (_, Some(value)) => KeyValue::Json(value),
        _ => KeyValue::String(&[]),
    }
}

impl Transaction<'_> {
    /// The collection of a database's keys, made if there is none.
    pub fn keys_or_create(&mut self, db: u8) -> Result<CollectionId, Error> {
        self.own_collection(db, KEYS).map_or_else(|| self.make_collection(db, KEYS, "{}"), Ok)
    }

    /// Counts that a command looked for a key which it reads before it changes it.
    pub fn note_lookup(&self, found: bool) {
        self.shared.lookups.note(u64::from(found), u64::from(!found));
    }

    /// A key's document, with where it is.
    pub fn key(&mut self, db: u8, key: &[u8]) -> Result<Option<(CollectionId, RecordId, Arc<Document>)>, Error> {
        let Some(collection) = self.own_collection(db, KEYS) else { return Ok(None) };
        let Some(record) = self.find_id(collection, &key_id(key))? else { return Ok(None) };
        Ok(self.record(collection, record)?.map(|document| (collection, record, document)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_document() {
        for key in [&b""[..], b"a", b"\0\xff", &[b'x'; 511], &[b'x'; 512], &[1; 100_000]] {
            let document = Document::new(1, pack_key(key, KeyValue::String(b"value")));
            assert_eq!(key_of(&document), key);
            assert_eq!(document.id().as_ref(), key_id(key));
            assert!(matches!(key_value(&document), KeyValue::String(b"value")));
        }
        let document = Document::new(1, pack_key(b"a", KeyValue::Json(ValueRef::Int32(5))));
        assert!(matches!(key_value(&document), KeyValue::Json(ValueRef::Int32(5))));
    }

    #[test]
    fn no_two_keys_share_an_id() {
        let long = [b'x'; 600];
        let forged = [&[HASHED][..], &Sha256::digest(long)].concat();
        assert_ne!(key_id(&long), key_id(&forged));
        assert_ne!(key_id(b""), key_id(b"\0"));
    }
}
