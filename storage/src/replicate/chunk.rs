//! The bytes of an export's chunks: collections, each followed by its documents.
//!
//! Each chunk ends with a hash over it and the hash before it, so that a chunk is known to be whole and the next one when it
//! comes, and the last hash is that of the whole export. The layout is in `docs/formats.md`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::export::{ExportHash, ExportHeader};
use crate::Error;
use crate::document::record::Document;
use crate::index::IndexDefinition;
use crate::lsn::Lsn;
use crate::record_id::RecordId;

const FORMAT: u8 = 1;
/// Bytes before the items: format and number.
const HEAD_BYTES: usize = 1 + 8;
const HASH_BYTES: usize = 32;

const COLLECTION: u8 = 1;
const DOCUMENT: u8 = 2;
/// Bytes of a document's item before its body: tag, record, version, expiry, length.
const DOCUMENT_HEAD_BYTES: usize = 1 + 8 + 8 + 8 + 4;

/// What an export says of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ExportedCollection {
    pub(super) id: u32,
    pub(super) db: u8,
    pub(super) name: String,
    pub(super) created_ms: u64,
    pub(super) options: String,
    pub(super) next_record: u64,
    pub(super) changed_lsn: Lsn,
    pub(super) next_index: u32,
    pub(super) indexes: Vec<ExportedIndex>,
}

/// What it says of an index. Entries are not in it: whoever stages it builds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ExportedIndex {
    pub(super) id: u32,
    pub(super) definition: IndexDefinition,
    pub(super) failure: Option<String>,
}

/// A part of a chunk.
#[derive(Debug)]
pub(super) enum Item {
    Collection(ExportedCollection),
    /// Of the last collection before it.
    Document(RecordId, Document),
}

/// What comes before the first chunk's hash.
pub(super) fn first_hash(header: &ExportHeader) -> ExportHash {
    let mut hash = Sha256::new();
    hash.update(header.id);
    hash.update(header.position.history);
    hash.update(header.position.term.to_le_bytes());
    hash.update(header.position.lsn.to_le_bytes());
    hash.finalize().into()
}

/// A chunk that is being made.
pub(super) struct ChunkWriter {
    bytes: Vec<u8>,
}

impl ChunkWriter {
    pub(super) fn new(number: u64, capacity: usize) -> ChunkWriter {
        let mut bytes = Vec::with_capacity(capacity + (64 << 10));
        bytes.push(FORMAT);
        bytes.extend_from_slice(&number.to_le_bytes());
        ChunkWriter { bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }

    pub(super) fn collection(&mut self, collection: &ExportedCollection) -> Result<(), Error> {
        let json = serde_json::to_vec(collection).map_err(|e| Error::Engine(e.to_string()))?;
        self.bytes.push(COLLECTION);
        self.bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&json);
        Ok(())
    }

    pub(super) fn document(&mut self, record: RecordId, document: &Document) {
        self.bytes.reserve(DOCUMENT_HEAD_BYTES + document.body.len());
        self.bytes.push(DOCUMENT);
        for number in [record.0, document.version, document.expires_ms] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.extend_from_slice(&(document.body.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&document.body);
    }

    /// The chunk, and the hash that it ends with.
    pub(super) fn finish(mut self, before: &ExportHash) -> (Vec<u8>, ExportHash) {
        let hash = hash_of(before, &self.bytes);
        self.bytes.extend_from_slice(&hash);
        (self.bytes, hash)
    }
}

fn hash_of(before: &ExportHash, bytes: &[u8]) -> ExportHash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(bytes);
    hash.finalize().into()
}

/// The items of a chunk, which must be this one, and its hash.
pub(super) fn open<'c>(chunk: &'c [u8], number: u64, before: &ExportHash) -> Result<(Items<'c>, ExportHash), Error> {
    let (body, hash) = chunk.split_last_chunk::<HASH_BYTES>().ok_or_else(|| refused("cut short"))?;
    let (head, items) = body.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| refused("cut short"))?;
    let [format, found @ ..] = *head;
    if format != FORMAT {
        return Err(refused(&format!("format {format} is not known to this version")));
    }
    let found = u64::from_le_bytes(found);
    if found != number {
        return Err(refused(&format!("it is number {found}, {number} comes next")));
    }
    if hash_of(before, body) != *hash {
        return Err(refused("its hash is of other bytes"));
    }
    Ok((Items { rest: items }, *hash))
}

fn refused(what: &str) -> Error {
    Error::Refused(format!("a chunk of an export: {what}"))
}

/// The items of a chunk.
pub(super) struct Items<'c> {
    rest: &'c [u8],
}

impl Items<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| refused("an item is cut short"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn slice(&mut self) -> Result<&[u8], Error> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let split = self.rest.split_at_checked(length).ok_or_else(|| refused("an item is cut short"))?;
        self.rest = split.1;
        Ok(split.0)
    }

    /// The next one; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let [tag] = self.take()?;
        match tag {
            COLLECTION => {
                let parsed = serde_json::from_slice(self.slice()?).map_err(|e| refused(&e.to_string()))?;
                Ok(Some(Item::Collection(parsed)))
            }
            DOCUMENT => {
                let [record, version, expires_ms] = [self.take()?, self.take()?, self.take()?].map(u64::from_le_bytes);
                let body = Box::from(self.slice()?);
                Ok(Some(Item::Document(RecordId(record), Document::expiring(version, expires_ms, body))))
            }
            other => Err(refused(&format!("an item with the tag {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_and_a_changed_byte_is_refused() {
        let collection = ExportedCollection {
            id: 7,
            db: 1,
            name: "users".into(),
            created_ms: 5,
            options: "{}".into(),
            next_record: 9,
            changed_lsn: 3,
            next_index: 2,
            indexes: vec![ExportedIndex { id: 1, definition: IndexDefinition::default(), failure: None }],
        };
        let mut writer = ChunkWriter::new(4, 100);
        writer.collection(&collection).unwrap();
        writer.document(RecordId(3), &Document::expiring(2, 11, Box::from(&b"body"[..])));
        assert!(writer.len() > 30);
        let before = [1; 32];
        let (chunk, hash) = writer.finish(&before);
        let (mut items, opened) = open(&chunk, 4, &before).unwrap();
        assert_eq!(opened, hash);
        assert!(matches!(items.next().unwrap(), Some(Item::Collection(found)) if found == collection));
        assert!(matches!(items.next().unwrap(), Some(Item::Document(RecordId(3), found))
            if (found.version, found.expires_ms, &*found.body) == (2, 11, &b"body"[..])));
        assert!(items.next().unwrap().is_none());
        assert!(open(&chunk, 5, &before).is_err() && open(&chunk, 4, &[2; 32]).is_err());
        for at in 0..chunk.len() {
            let mut changed = chunk.clone();
            changed[at] ^= 1;
            assert!(open(&changed, 4, &before).is_err() && open(&chunk[..at], 4, &before).is_err(), "byte {at}");
        }
    }
}
