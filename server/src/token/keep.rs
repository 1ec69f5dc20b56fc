//! Tokens and the keys that they are signed with in the store: documents formed as users are, in two collections of the server's own.
//!
//! A token's key is its number, its value what is known of it; it expires when the token does. A signing key's value has the private key as
//! long as it is signed with, and the public one; it expires when the last token that was signed with it does. Sealed, logged and
//! replicated as all documents are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use veddb_storage::{Error, KeyValue, SIGNING_KEYS, Store, TOKENS, key_of, key_value};
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

/// All tokens, and all signing keys.
pub(super) type All = (Vec<(Bytes, Record)>, Vec<(String, SigningKey)>);

/// All that is kept and has not expired.
///
/// # Errors
/// When the store cannot be read. What this build cannot read is left out: then the token, or what the key signed, is not good.
pub(super) fn load(store: &Store) -> Result<All, Error> {
    let view = store.view(now_ms());
    let (mut records, mut keys) = (Vec::new(), Vec::new());
    for kind in [TOKENS, SIGNING_KEYS] {
        let Some(collection) = view.own_collection(DB, kind) else { continue };
        for next in view.scan(&collection) {
            let (_, document) = next?;
            let name = key_of(&document);
            let KeyValue::String(text) = key_value(&document) else { continue };
            let found = if kind == TOKENS {
                Record::read(text).map(|record| records.push((Bytes::copy_from_slice(name), record)))
            } else {
                let id = String::from_utf8_lossy(name).into_owned();
                SigningKey::read(text, document.expires_ms).map(|key| keys.push((id, key)))
            };
            if found.is_none() {
                let name = String::from_utf8_lossy(name);
                tracing::error!(%name, "a kept token or signing key cannot be read, and is left out");
            }
        }
    }
    Ok((records, keys))
}
