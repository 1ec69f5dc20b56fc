//! The key-value engine as the rest of storage sees it: ordered keys, bulk writes, snapshots.
//!
//! The door to another engine. It stores opaque keys and sealed values only. It is neither the write-ahead log (that is
//! ours) nor atomic across calls: what [`Engine::ingest`] returned for is on disk, and the checkpoint, written after it,
//! decides what of it counts.

pub(crate) mod fjall;

use bytes::Bytes;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Error;
use crate::pace::Pace;

/// A fixed set of key ranges. Few on purpose: each costs the engine files and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// Sealed documents under collection id and record id.
    Documents,
    /// Sealed index pages under page ids.
    Pages,
}

impl Space {
    /// All of them.
    pub(crate) const ALL: [Space; 2] = [Space::Documents, Space::Pages];
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
    ///
    /// Entries are asked for while nobody else ingests, and a value is sealed no earlier than it is asked for. So whoever
    /// has ingested after a change of keys knows that all values after its own are under the new key.
    fn ingest(&self, space: Space, entries: &mut dyn Iterator<Item = Entry>) -> Result<(), Error>;
    /// Gives values other bytes that mean the same: those of a batch of keys from `from` on, where `renew` answers some.
    /// Nobody ingests between the reading and the writing.
    fn renew(&self, space: Space, from: &[u8], batch: Batch, renew: &mut Renew<'_>) -> Result<Renewed, Error>;
    /// Shows every value in the files, also those that were replaced or deleted and that nobody can read any more, until it
    /// is told to stop.
    fn all_stored(&self, space: Space, visit: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error>;
    /// The oldest moment of which there is a snapshot.
    fn oldest_moment(&self) -> Option<Moment>;
    /// Writes all tables anew, without what no snapshot from the oldest on can see. Takes as long as that takes.
    fn compact(&self) -> Result<(), Error>;
    /// Lets go of tables that no snapshot from the oldest on can want. Answers the files of tables that are not among the
    /// newest: those that somebody reads still, and those that are being written.
    fn release(&self) -> Result<HashSet<PathBuf>, Error>;
    /// What its own work gives way to, while somebody works who has it work.
    fn pace(&self) -> &Arc<Pace>;
    /// Bytes on disk.
    fn disk_space(&self) -> u64;
    /// What it has and does by itself.
    fn activity(&self) -> Activity;
}

/// What an engine has on disk, and what it does beside what it is asked for. What a rotation has it do is not counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Activity {
    /// Files that values are in.
    pub tables: u64,
    /// Runs of its compactor that go on now. A run looks whether anything is to be brought together, and does so where it is.
    pub compactor_running: u64,
    /// Runs that have ended since it was opened, those that found nothing to do among them.
    pub compactor_runs: u64,
    /// What these took together, microseconds; of each a millisecond is a pause.
    pub compactor_us: u64,
}

/// The order of what is written to the engine.
pub(crate) type Moment = u64;

/// What may become of a value, by its key and bytes: nothing, or other bytes.
pub(crate) type Renew<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Option<Bytes>, Error> + 'a;

/// How much is read at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) records_max: u64,
    pub(crate) bytes_max: usize,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// Values read.
    pub(crate) seen: u64,
    /// Values that have other bytes now.
    pub(crate) renewed: u64,
    /// Bytes of these.
    pub(crate) bytes: u64,
    /// Where the next batch begins; none at the end of the space.
    pub(crate) next: Option<Vec<u8>>,
}

/// The engine at one moment.
pub(crate) trait Snapshot: Send + Sync + std::fmt::Debug {
    /// Which one: nothing that is ingested later is in it, and its number is smaller.
    fn moment(&self) -> Moment;
    /// The value at that moment.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// The pairs with `from <= key < to`.
    fn range(&self, space: Space, from: &[u8], to: &[u8]) -> Pairs;
}
