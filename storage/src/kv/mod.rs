//! The key-value engine as the rest of storage sees it: ordered keys, atomic batches, snapshots.
//!
//! The door to another engine. It stores opaque keys and sealed values only; it is not the write-ahead log (the log
//! is ours), so all that is asked of [`Engine::commit`] is that a batch is there whole or not at all after a crash,
//! and that batches and bulk entries survive in the order they were made.

pub(crate) mod fjall;

use bytes::Bytes;
use std::sync::Arc;

use crate::Error;

/// A fixed set of key ranges. Few on purpose: the engine keeps a journal alive for each idle one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// Sealed documents under collection id and record id.
    Documents,
    /// Sealed index pages under page ids.
    Pages,
    /// The checkpoint: catalog, applied LSN.
    Meta,
}

/// Writes that happen together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) edits: Vec<(Space, Bytes, Option<Bytes>)>,
}

impl Batch {
    pub(crate) fn put(&mut self, space: Space, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.edits.push((space, key.into(), Some(value.into())));
    }

    pub(crate) fn remove(&mut self, space: Space, key: impl Into<Bytes>) {
        self.edits.push((space, key.into(), None));
    }
}

/// Key and value pairs in ascending order of key.
pub(crate) type Pairs = Box<dyn Iterator<Item = Result<(Bytes, Bytes), Error>> + Send>;

/// An ordered, durable map.
pub(crate) trait Engine: Send + Sync + std::fmt::Debug {
    /// The newest value.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// What is there now, for as long as it is held. Held long, it holds back the engine's garbage collection.
    fn snapshot(&self) -> Arc<dyn Snapshot>;
    /// Sorted entries (none: delete) in bulk: on disk when this returns, seen all at once. Not atomic with batches.
    fn ingest(&self, space: Space, entries: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>) -> Result<(), Error>;
    /// All of the batch or nothing.
    fn commit(&self, batch: Batch) -> Result<(), Error>;
    /// Returns when everything committed is on disk.
    fn sync(&self) -> Result<(), Error>;
    /// Bytes on disk.
    fn disk_space(&self) -> u64;
}

/// The engine at one moment.
pub(crate) trait Snapshot: Send + Sync + std::fmt::Debug {
    /// The value at that moment.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// The pairs with `from <= key < to`.
    fn range(&self, space: Space, from: &[u8], to: &[u8]) -> Pairs;
}
