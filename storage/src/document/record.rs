//! A stored document as readers hold it: its version and its encoded body.

use bytes::Bytes;
use std::sync::OnceLock;

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
}
impl Document {
    pub fn id(&self) -> Vec<u8> { self.body.split(|b| *b == 0).next().unwrap_or_default().to_vec() }
}
