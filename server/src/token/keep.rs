//! Tokens and the keys that they are signed with in the store: documents formed as users are, in two collections of the server's own.
//!
//! A token's key is its number, its value what is known of it; it expires when the token does, and goes to the end when it changes. A signing key's value has the private key as
//! long as it is signed with, and the public one; it expires when the last token that was signed with it does. Sealed, logged and
//! replicated as all documents are.

use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use veddb_storage::{
    CollectionId, Document, Error, KeyValue, RecordId, SIGNING_KEYS, Store, TOKENS, key_of, key_value,
};
use zeroize::Zeroizing;

use super::{Record, SigningKey, signature};
use crate::acl::Kept;
use crate::execute::now_ms;

/// The database in which they are.
const DB: u8 = 0;

impl Record {
    /// What keeps it.
    pub(super) fn kept(&self, jti: &Bytes) -> Kept {
        let text = json!({
            "user": String::from_utf8_lossy(&self.user),
            "key": self.key,
            "issued": self.issued_ms,
            "expires": self.expires_ms,
            "revoked": self.revoked_ms,
        });
        let value = Some(text.to_string().into_bytes());
        Kept { kind: TOKENS, name: jti.clone(), value, expires_ms: self.expires_ms }
    }

    fn read(text: &[u8]) -> Option<Record> {
        let found: Json = serde_json::from_slice(text).ok()?;
        Some(Record {
            user: Bytes::copy_from_slice(found.get("user")?.as_str()?.as_bytes()),
            key: found.get("key")?.as_str()?.to_owned(),
            issued_ms: found.get("issued")?.as_u64()?,
            expires_ms: found.get("expires")?.as_u64()?,
            revoked_ms: moment(found.get("revoked")?)?,
        })
    }
}

impl SigningKey {
    /// What keeps it.
    pub(super) fn kept(&self, id: &str) -> Kept {
        let text = json!({
            "private": self.private.as_ref().map(|key| STANDARD.encode(&**key)),
            "public": STANDARD.encode(&self.public),
            "created": self.created_ms,
            "retired": self.retired_ms,
            "dead": self.dead_ms,
        });
        let value = Some(text.to_string().into_bytes());
        Kept { kind: SIGNING_KEYS, name: Bytes::copy_from_slice(id.as_bytes()), value, expires_ms: self.expires_ms }
    }

    fn read(text: &[u8], expires_ms: u64) -> Option<SigningKey> {
        let found: Json = serde_json::from_slice(text).ok()?;
        let private = match found.get("private")? {
            Json::Null => None,
            key => Some(Zeroizing::new(STANDARD.decode(key.as_str()?).ok()?)),
        };
        let public = STANDARD.decode(found.get("public")?.as_str()?).ok()?;
        if private.as_ref().is_some_and(|key| signature::public(key).as_ref() != Some(&public)) {
            return None;
        }
        Some(SigningKey {
            private,
            public,
            created_ms: found.get("created")?.as_u64()?,
            retired_ms: moment(found.get("retired")?)?,
            dead_ms: moment(found.get("dead")?)?,
            expires_ms,
        })
    }
}

/// A moment, or none.
fn moment(found: &Json) -> Option<Option<u64>> {
    match found {
        Json::Null => Some(None),
        when => when.as_u64().map(Some),
    }
}

/// How far tokens were read. A token whose record changes goes to the end, so what comes after is all that is new.
#[derive(Debug)]
pub(super) struct Position {
    store: Weak<Store>,
    collection: CollectionId,
    next: RecordId,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Loaded {
    /// All tokens, or those that are new.
    pub(super) records: Vec<(Bytes, Record)>,
    pub(super) is_whole: bool,
    /// All signing keys.
    pub(super) keys: Vec<(String, SigningKey)>,
    pub(super) position: Option<Position>,
}

/// What is kept and has not expired; of tokens what is new since that position, if it is one of the same tokens.
///
/// # Errors
/// When the store cannot be read. What this build cannot read is left out: then the token, or what the key signed, is not good.
pub(super) fn load(store: &Arc<Store>, from: Option<&Position>) -> Result<Loaded, Error> {
    let view = store.view(now_ms());
    let mut loaded = Loaded { records: Vec::new(), is_whole: true, keys: Vec::new(), position: None };
    if let Some(collection) = view.own_collection(DB, TOKENS) {
        let is_same = |from: &&Position| {
            std::ptr::eq(from.store.as_ptr(), Arc::as_ptr(store)) && from.collection == collection.id()
        };
        let from = from.filter(is_same);
        loaded.is_whole = from.is_none();
        let mut next = from.map_or(RecordId(0), |from| from.next);
        for found in view.scan_from(&collection, next) {
            let (record, document) = found?;
            next = RecordId(record.0 + 1);
            let jti = Bytes::copy_from_slice(key_of(&document));
            match text(&document).and_then(Record::read) {
                Some(record) => loaded.records.push((jti, record)),
                None => unreadable(&jti),
            }
        }
        loaded.position = Some(Position { store: Arc::downgrade(store), collection: collection.id(), next });
    }
    if let Some(collection) = view.own_collection(DB, SIGNING_KEYS) {
        for found in view.scan(&collection) {
            let (_, document) = found?;
            let id = key_of(&document);
            match text(&document).and_then(|text| SigningKey::read(text, document.expires_ms)) {
                Some(key) => loaded.keys.push((String::from_utf8_lossy(id).into_owned(), key)),
                None => unreadable(id),
            }
        }
    }
    Ok(loaded)
}

fn text(document: &Document) -> Option<&[u8]> {
    match key_value(document) {
        KeyValue::String(text) => Some(text),
        KeyValue::Json(_) => None,
    }
}

fn unreadable(name: &[u8]) {
    let name = String::from_utf8_lossy(name);
    tracing::error!(%name, "a kept token or signing key cannot be read, and is left out");
}
