//! Record ids: how documents are numbered inside a collection, and their keys in the engine.

/// The number of a document inside its collection, ascending in order of insertion: natural order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

/// A key as [`document_key`] makes it.
pub(crate) type DocumentKey = [u8; 12];

/// The engine's key of a document: collection id and record id, big-endian, so that a scan is in natural order. No byte
/// of it comes from a user.
pub(crate) fn document_key(collection: u32, record: RecordId) -> DocumentKey {
    let mut key = [0; 12];
    let (head, tail) = key.split_at_mut(4);
    head.copy_from_slice(&collection.to_be_bytes());
    tail.copy_from_slice(&record.0.to_be_bytes());
    key
}

/// The record id in a document's key.
pub(crate) fn record_of_key(key: &[u8]) -> Option<RecordId> {
    let tail = key.get(4..12)?;
    Some(RecordId(u64::from_be_bytes(tail.try_into().ok()?)))
}
