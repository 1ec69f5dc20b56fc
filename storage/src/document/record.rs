//! A stored document as readers hold it: its version and its encoded body.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;

use super::codec::RawObject;
use super::id::id_text;
use super::json::render_object;

/// One version of one document. Immutable; shared by the cache, the memory table and readers.
#[derive(Debug)]
pub struct Document {
    /// 1 at insert, +1 at every change.
    pub version: u64,
    /// The body in the stored form of [`crate::document::codec`].
    pub body: Box<[u8]>,
    json: OnceLock<Bytes>,
}

impl Document {
    /// A document of this version and body.
    pub fn new(version: u64, body: Box<[u8]>) -> Document {
        Document { version, body, json: OnceLock::new() }
    }

    /// Its members.
    pub fn root(&self) -> RawObject<'_> {
        RawObject::from_body(&self.body)
    }

    /// The text of its id.
    pub fn id(&self) -> Cow<'_, [u8]> {
        // Nothing is stored without a good `_id`; damage is found when a body is opened, before it comes here.
        self.root().get("_id").and_then(|id| id_text(id).ok()).unwrap_or_default()
    }

    /// Its JSON text, written once and kept as long as the document is.
    pub fn json(&self) -> Bytes {
        self.json
            .get_or_init(|| {
                let mut out = Vec::with_capacity(self.body.len() + self.body.len() / 2);
                render_object(&mut out, self.root());
                out.shrink_to_fit();
                Bytes::from(out)
            })
            .clone()
    }
}
