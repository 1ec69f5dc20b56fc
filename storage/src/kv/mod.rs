//! The key-value engine as the rest of storage sees it: ordered keys, bulk writes, snapshots.
//!
//! The door to another engine. It stores opaque keys and sealed values only. It is neither the write-ahead log (that is
//! ours) nor atomic across calls: what [`Engine::ingest`] returned for is on disk, and the checkpoint, written after it,
//! decides what of it counts.

pub(crate) mod fjall;

use bytes::Bytes;
use std::sync::Arc;

use crate::Error;

/// A fixed set of key ranges. Few on purpose: each costs the engine files and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// Sealed documents under collection id and record id.
    Documents,
    /// Sealed index pages under page ids.
    Pages,
}

/// A key with its value; none deletes it.
pub(crate) type Entry = (Bytes, Option<Bytes>);

/// Key and value pairs in ascending order of key.
pub(crate) type Pairs = Box<dyn Iterator<Item = Result<(Bytes, Bytes), Error>> + Send>;

/// An ordered, durable map.
pub(crate) trait Engine: Send + Sync + std::fmt::Debug {
    /// The newest value.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// What is there now, for as long as it is held. Held long, it holds back the engine's garbage collection.
    fn snapshot(&self) -> Arc<dyn Snapshot>;
    /// Writes entries, which come in ascending order of key, each key once. On disk when this returns; seen all at once;
    /// all there or none after a crash.
    fn ingest(&self, space: Space, entries: &mut dyn Iterator<Item = Entry>) -> Result<(), Error>;
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
