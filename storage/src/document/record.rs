//! A stored document as readers hold it: its version, its expiry and its encoded body.

use std::borrow::Cow;

use bytes::Bytes;

use super::codec::{RawObject, ValueRef};
use super::id::id_text;
use super::json::render_object;
use crate::shared::{EXPIRY_BYTES, RECORD_OVERHEAD_BYTES};

/// One version of one document. Immutable; shared by the cache, the memory table and readers.
#[derive(PartialEq, Eq)]
pub struct Document {
    /// 1 at insert, +1 at every change.
    pub version: u64,
    /// When it expires, milliseconds since 1970; 0 when it does not.
    pub expires_ms: u64,
    /// The body in the stored form of [`crate::document::codec`].
    pub body: Box<[u8]>,
}

/// Never the contents: what is printed for debugging may reach a log.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("version", &self.version).field("bytes", &self.body.len()).finish()
    }
}

impl Document {
    /// A document of this version and body that does not expire.
    pub fn new(version: u64, body: Box<[u8]>) -> Document {
        Document { version, expires_ms: 0, body }
    }

    /// A document that expires then, if that is not 0.
    pub fn expiring(version: u64, expires_ms: u64, body: Box<[u8]>) -> Document {
        Document { version, expires_ms, body }
    }

    /// Whether it has expired by then. At the moment 0 nothing has.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now_ms
    }

    /// Its members.
    pub fn root(&self) -> RawObject<'_> {
        RawObject::from_body(&self.body)
    }

    /// The text of its id; the bytes of a key's.
    pub fn id(&self) -> Cow<'_, [u8]> {
        match self.root().get("_id") {
            Some(ValueRef::Binary { bytes, .. }) => Cow::Borrowed(bytes),
            // Nothing is stored without a good `_id`; damage is found when a body is opened, before it comes here.
            id => id.and_then(|id| id_text(id).ok()).unwrap_or_default(),
        }
    }

    /// Bytes that it takes in the engine, sealed, and in the index on `_id`.
    pub fn stored_bytes(&self) -> usize {
        let expiry = if self.expires_ms == 0 { 0 } else { EXPIRY_BYTES };
        let entry = self.id().len() + size_of::<u64>();
        RECORD_OVERHEAD_BYTES + expiry + self.body.len() + entry
    }

    /// Its JSON text. Written anew each time: keeping it would halve what the cache holds, and finding one document more
    /// in the cache saves ten times what writing one costs.
    pub fn json(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.body.len() + self.body.len() / 4 + 64);
        self.write_json(&mut out);
        Bytes::from(out)
    }

    /// Appends its JSON text.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        render_object(out, self.root());
    }
}
