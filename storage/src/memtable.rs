//! The memory table: documents written since the last checkpoint, every version that a reader may still need.
//!
//! One writer, the committer; readers take a lock for one lookup or one chunk of a scan.

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::document::record::Document;
use crate::lsn::Lsn;
use crate::record_id::RecordId;

/// Which document of which collection.
pub(crate) type RecordKey = (u32, RecordId);

/// A document as of some LSN; none when it was deleted then.
pub(crate) type Version = Option<Arc<Document>>;

type Versions = SmallVec<[(Lsn, Version); 1]>;

/// What an entry costs beside the document's bytes: map entry, order, version list, `Arc`.
const ENTRY_OVERHEAD_BYTES: usize = 144;

/// Versions of documents by record.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    entries: RwLock<Entries>,
    bytes: AtomicUsize,
}

/// Lookups of single records are far more frequent than scans and new records, so they get a hash table.
#[derive(Debug, Default)]
struct Entries {
    versions: FxHashMap<RecordKey, Versions>,
    /// The same keys, in order.
    order: BTreeSet<RecordKey>,
}

fn cost(version: &Version) -> usize {
    ENTRY_OVERHEAD_BYTES + version.as_ref().map_or(0, |d| d.body.len())
}

fn newest(versions: &Versions, lsn: Lsn) -> Option<&Version> {
    versions.iter().rev().find(|(at, _)| *at <= lsn).map(|(_, version)| version)
}

impl Memtable {
    /// What the memory table takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The version of a record at this LSN; none when the table does not know the record at that LSN.
    pub(crate) fn get(&self, key: RecordKey, lsn: Lsn) -> Option<Version> {
        self.entries.read().versions.get(&key).and_then(|versions| newest(versions, lsn)).cloned()
    }

    /// Adds a version. Versions that no reader at `lsn_oldest_reader` or later can see are dropped.
    pub(crate) fn put(&self, key: RecordKey, lsn: Lsn, version: Version, lsn_oldest_reader: Lsn) {
        let mut bytes = self.bytes() + cost(&version);
        let mut entries = self.entries.write();
        let Entries { versions, order } = &mut *entries;
        let versions = match versions.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                order.insert(key);
                new.insert(Versions::new())
            }
        };
        // Of those at or before the oldest reader, only the newest is needed.
        let needless = versions.iter().rposition(|(at, _)| *at <= lsn_oldest_reader).unwrap_or(0);
        for (_, old) in versions.drain(..needless) {
            bytes -= cost(&old);
        }
        versions.push((lsn, version));
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Takes the newest version of a record back.
    pub(crate) fn pop(&self, key: RecordKey) {
        let mut entries = self.entries.write();
        let Some(versions) = entries.versions.get_mut(&key) else { return };
        if let Some((_, version)) = versions.pop() {
            self.bytes.fetch_sub(cost(&version), Ordering::Relaxed);
        }
        if versions.is_empty() {
            entries.versions.remove(&key);
            entries.order.remove(&key);
        }
    }

    /// Takes every version after `lsn` back.
    pub(crate) fn truncate(&self, lsn: Lsn) {
        let mut entries = self.entries.write();
        let Entries { versions, order } = &mut *entries;
        versions.retain(|key, versions| {
            versions.retain(|(at, _)| *at <= lsn);
            if versions.is_empty() {
                order.remove(key);
            }
            !versions.is_empty()
        });
        let bytes = versions.values().flatten().map(|(_, version)| cost(version)).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Up to `limit` records of a collection from `from` on, as of `lsn`, deleted ones included.
    pub(crate) fn chunk(&self, collection: u32, from: RecordId, lsn: Lsn, limit: usize) -> Vec<(RecordId, Version)> {
        let entries = self.entries.read();
        let keys = entries.order.range((collection, from)..=(collection, RecordId(u64::MAX)));
        let known = keys.filter_map(|key| Some((key.1, newest(entries.versions.get(key)?, lsn)?.clone())));
        known.take(limit).collect()
    }

    /// The newest version of every record, in order. Only sensible for a table that is no longer written to.
    pub(crate) fn newest(&self) -> Vec<(RecordKey, Version)> {
        let entries = self.entries.read();
        let newest = |key: &RecordKey| Some((*key, entries.versions.get(key)?.last()?.1.clone()));
        entries.order.iter().filter_map(newest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(version: u64) -> Version {
        Some(Arc::new(Document::new(version, Box::from(&b"body"[..]))))
    }

    fn versions(table: &Memtable, lsn: Lsn) -> Option<Option<u64>> {
        table.get((1, RecordId(1)), lsn).map(|v| v.map(|d| d.version))
    }

    #[test]
    fn readers_see_their_own_moment() {
        let table = Memtable::default();
        let key = (1, RecordId(1));
        table.put(key, 10, document(1), 0);
        table.put(key, 20, document(2), 10);
        table.put(key, 30, None, 10);
        assert_eq!(versions(&table, 9), None);
        assert_eq!(versions(&table, 10), Some(Some(1)));
        assert_eq!(versions(&table, 25), Some(Some(2)));
        assert_eq!(versions(&table, 30), Some(None));
        table.pop(key);
        assert_eq!(versions(&table, 30), Some(Some(2)));
        table.put(key, 40, document(3), 20);
        assert_eq!(versions(&table, 10), None, "dropped, nobody reads there");
        assert_eq!(versions(&table, 20), Some(Some(2)));
        table.truncate(20);
        assert_eq!(versions(&table, 99), Some(Some(2)));
        table.truncate(0);
        assert_eq!((versions(&table, 99), table.bytes()), (None, 0));
    }
}
