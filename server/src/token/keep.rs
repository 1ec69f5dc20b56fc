//! Tokens and the keys that they are signed with in the store: documents formed as users are, in two collections of the server's own.
//!
//! A token's key is its number, its value what is known of it; it expires when the token does, and goes to the end when it changes. A signing key's value has the private key as
//! long as it is signed with, and the public one; it expires when the last token that was signed with it does. Sealed, logged and
//! replicated as all documents are.

use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
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
/// Room for what keeps a signing key, bytes: more than it takes.
const KEY_BYTES: usize = 1024;

/// What keeps a signing key, as JSON. It borrows the keys, base64: of the private one there are no copies but those that are wiped.
#[derive(Serialize, Deserialize)]
struct KeptKey<'a> {
    #[serde(borrow, deserialize_with = "said")]
    private: Option<&'a str>,
    public: &'a str,
    created: u64,
    #[serde(deserialize_with = "said")]
    retired: Option<u64>,
    #[serde(deserialize_with = "said")]
    dead: Option<u64>,
}

/// Nothing is not as good as null.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

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
        let value = Some(Zeroizing::new(text.to_string().into_bytes()));
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
        let private = self.private.as_ref().map(|key| Zeroizing::new(STANDARD.encode(&**key)));
        let public = STANDARD.encode(&self.public);
        let shown = KeptKey {
            private: private.as_ref().map(|key| key.as_str()),
            public: &public,
            created: self.created_ms,
            retired: self.retired_ms,
            dead: self.dead_ms,
        };
        // If it had to grow, what it was before would stay in memory.
        let mut text = Zeroizing::new(Vec::<u8>::with_capacity(KEY_BYTES));
        serde_json::to_writer(&mut *text, &shown).expect("texts and numbers are JSON, and memory takes it");
        let name = Bytes::copy_from_slice(id.as_bytes());
        Kept { kind: SIGNING_KEYS, name, value: Some(text), expires_ms: self.expires_ms }
    }

    fn read(text: &[u8], expires_ms: u64) -> Option<SigningKey> {
        let found: KeptKey<'_> = serde_json::from_slice(text).ok()?;
        let private = match found.private {
            None => None,
            Some(key) => Some(Zeroizing::new(STANDARD.decode(key).ok()?)),
        };
        let public = STANDARD.decode(found.public).ok()?;
        if private.as_ref().is_some_and(|key| signature::public(key).as_ref() != Some(&public)) {
            return None;
        }
        Some(SigningKey {
            private,
            public,
            created_ms: found.created,
            retired_ms: found.retired,
            dead_ms: found.dead,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_kept() {
        let (private, public) = signature::draw().unwrap();
        let private = Some(private);
        let signing = SigningKey { private, public, created_ms: 7, retired_ms: None, dead_ms: None, expires_ms: 0 };
        let retired = SigningKey {
            private: None,
            created_ms: u64::MAX,
            retired_ms: Some(u64::MAX),
            dead_ms: Some(u64::MAX),
            expires_ms: 9,
            ..signing.clone()
        };
        for key in [&signing, &retired] {
            let text = key.kept("id").value.unwrap();
            assert!(text.len() < KEY_BYTES && text.capacity() == KEY_BYTES, "it has grown");
            assert!(SigningKey::read(&text, key.expires_ms).as_ref() == Some(key));
        }
        let text = String::from_utf8(signing.kept("id").value.unwrap().to_vec()).unwrap();
        let public = STANDARD.encode(&signing.public);
        assert!(text.starts_with(r#"{"private":""#) && text.contains(&format!(r#","public":"{public}","created":7"#)));
        assert!(text.ends_with(r#","retired":null,"dead":null}"#));
        // What lacks something, or does not fit together, is none.
        let changes =
            [(r#","dead":null"#, ""), (r#""created":7"#, r#""created":-7"#), (r#""public":""#, r#""public":"AAAA"#)];
        for (from, to) in changes {
            let changed = text.replacen(from, to, 1);
            assert!(changed != text && SigningKey::read(changed.as_bytes(), 0).is_none(), "{changed}");
        }
        let without = text.split_once(r#","public""#).unwrap().1;
        assert!(SigningKey::read(format!(r#"{{"public"{without}"#).as_bytes(), 0).is_none(), "nothing is not null");
    }
}
