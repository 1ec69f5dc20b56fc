//! Runs: what the engine has of a stretch of a collection, opened and in order, so that a scan need not open it again.
//!
//! A run is right from the generation at which it was read on, until a checkpoint writes one of its records; then it is
//! made anew with what was written. A reader of an older generation does not use it.

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::document::record::Document;
use crate::memtable::{RecordKey, Version};
use crate::record_id::RecordId;

/// So many record ids make a run, as a power of two.
const RUN_BITS: u32 = 8;

/// Which run of which collection.
pub(crate) type RunKey = (u32, u64);

/// The documents of a run, in natural order. Records that are not among them are not in the engine.
pub(crate) type Records = Arc<[(RecordId, Arc<Document>)]>;

/// What a document costs in a run beside its bytes: its place, its `Arc`, its box.
const RECORD_OVERHEAD_BYTES: usize = 80;

#[derive(Debug)]
struct Run {
    generation: u64,
    records: Records,
    bytes: usize,
    /// Its place among the keys.
    at: usize,
}

#[derive(Debug, Default)]
struct Table {
    runs: FxHashMap<RunKey, Run>,
    /// Every key once, to draw one.
    keys: Vec<RunKey>,
}

/// The runs in memory.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    table: RwLock<Table>,
    bytes: AtomicUsize,
}

/// The run that a record is in.
pub(crate) fn run_of(record: RecordId) -> u64 {
    record.0 >> RUN_BITS
}

/// The first record of a run.
pub(crate) fn first_of(run: u64) -> RecordId {
    RecordId(run << RUN_BITS)
}

/// What a run of these documents takes in memory.
pub(crate) fn cost(documents: &[(RecordId, Arc<Document>)]) -> usize {
    RECORD_OVERHEAD_BYTES + documents.iter().map(|(_, document)| cost_of(document)).sum::<usize>()
}

/// What a document in a run takes.
pub(crate) fn cost_of(document: &Document) -> usize {
    RECORD_OVERHEAD_BYTES + document.body.len()
}

impl Table {
    fn insert(&mut self, key: RunKey, generation: u64, records: Records) -> usize {
        let bytes = cost(&records);
        let at = self.keys.len();
        self.keys.push(key);
        self.runs.insert(key, Run { generation, records, bytes, at });
        bytes
    }

    fn remove(&mut self, key: RunKey) -> usize {
        let Some(run) = self.runs.remove(&key) else { return 0 };
        self.keys.swap_remove(run.at);
        if let Some(moved) = self.keys.get(run.at).and_then(|key| self.runs.get_mut(key)) {
            moved.at = run.at;
        }
        run.bytes
    }
}

impl Runs {
    /// Bytes of all runs.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A run as a reader of this generation must see it.
    pub(crate) fn get(&self, key: RunKey, generation: u64) -> Option<Records> {
        if self.bytes() == 0 {
            return None;
        }
        let table = self.table.read();
        table.runs.get(&key).filter(|run| run.generation <= generation).map(|run| Arc::clone(&run.records))
    }

    /// A document as a reader of this generation must see it. None: not known here.
    pub(crate) fn find(&self, key: RecordKey, generation: u64) -> Option<Arc<Document>> {
        let records = self.get((key.0, run_of(key.1)), generation)?;
        let at = records.binary_search_by_key(&key.1, |(record, _)| *record).ok()?;
        records.get(at).map(|(_, document)| Arc::clone(document))
    }

    /// Keeps a run that a reader of this generation read, unless a checkpoint came in between. `current` is the
    /// generation that the engine has or is about to have.
    pub(crate) fn fill(&self, key: RunKey, generation: u64, records: Records, current: &AtomicU64) {
        let mut table = self.table.write();
        // Asked under the lock: a checkpoint raises the generation first and then visits the table.
        if current.load(Ordering::Acquire) != generation || table.runs.contains_key(&key) {
            return;
        }
        let bytes = table.insert(key, generation, records);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Brings the run that these records are in up to what the checkpoint of this generation wrote for them, which comes
    /// in order; false when it is not in memory.
    pub(crate) fn refresh(&self, key: RunKey, generation: u64, written: &[(RecordKey, Version)]) -> bool {
        let mut table = self.table.write();
        let Some(run) = table.runs.get(&key) else { return false };
        let mut merged: Vec<(RecordId, Arc<Document>)> = Vec::with_capacity(run.records.len() + written.len());
        let mut before = run.records.iter().peekable();
        for ((_, record), version) in written {
            while let Some(kept) = before.next_if(|(other, _)| other < record) {
                merged.push(kept.clone());
            }
            before.next_if(|(other, _)| other == record);
            merged.extend(version.iter().map(|document| (*record, Arc::clone(document))));
        }
        merged.extend(before.cloned());
        let removed = table.remove(key);
        let bytes = table.insert(key, generation, merged.into());
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(removed, Ordering::Relaxed);
        true
    }

    /// Drops runs at random until they take no more than this: of runs that scans read in turn, the last used is as
    /// likely to be needed next as any other.
    pub(crate) fn shrink(&self, bytes_max: usize) {
        if self.bytes() <= bytes_max {
            return;
        }
        let mut table = self.table.write();
        while self.bytes() > bytes_max && !table.keys.is_empty() {
            let at = rand::random_range(0..table.keys.len());
            let Some(key) = table.keys.get(at).copied() else { break };
            let removed = table.remove(key);
            self.bytes.fetch_sub(removed, Ordering::Relaxed);
        }
    }

    /// Drops all runs of a collection.
    pub(crate) fn forget(&self, collection: u32) {
        let mut table = self.table.write();
        let gone: Vec<RunKey> = table.keys.iter().copied().filter(|(id, _)| *id == collection).collect();
        for key in gone {
            let removed = table.remove(key);
            self.bytes.fetch_sub(removed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(version: u64) -> Arc<Document> {
        Arc::new(Document::new(version, vec![0; 100].into()))
    }

    fn shown(runs: &Runs, generation: u64) -> Option<Vec<(u64, u64)>> {
        let records = runs.get((1, 0), generation)?;
        Some(records.iter().map(|(record, document)| (record.0, document.version)).collect())
    }

    #[test]
    fn a_checkpoint_changes_runs_for_later_readers_only() {
        let (runs, current) = (Runs::default(), AtomicU64::new(0));
        let records: Records = [(RecordId(1), document(1)), (RecordId(5), document(1))].into();
        runs.fill((1, 0), 0, records.clone(), &current);
        assert_eq!(shown(&runs, 0), Some(vec![(1, 1), (5, 1)]));
        assert_eq!(runs.find((1, RecordId(5)), 0).map(|d| d.version), Some(1));
        assert!(runs.find((1, RecordId(4)), 0).is_none());
        current.store(1, Ordering::Release);
        let written = [
            ((1, RecordId(0)), Some(document(7))),
            ((1, RecordId(1)), None),
            ((1, RecordId(3)), None),
            ((1, RecordId(5)), Some(document(2))),
            ((1, RecordId(9)), Some(document(1))),
        ];
        assert!(runs.refresh((1, 0), 1, &written));
        assert!(!runs.refresh((1, 1), 1, &written));
        assert_eq!(shown(&runs, 0), None);
        assert_eq!(shown(&runs, 1), Some(vec![(0, 7), (5, 2), (9, 1)]));
        // A reader from before the checkpoint comes late.
        runs.fill((1, 7), 0, records, &current);
        assert!(runs.get((1, 7), 1).is_none());
        runs.shrink(0);
        assert_eq!((runs.bytes(), shown(&runs, 1)), (0, None));
    }

    #[test]
    fn shrinks_and_forgets() {
        let (runs, current) = (Runs::default(), AtomicU64::new(0));
        for at in 0..100 {
            runs.fill((at as u32 % 2, at), 0, [(RecordId(at << 8), document(1))].into(), &current);
        }
        let all = runs.bytes();
        runs.shrink(all / 2);
        assert!(runs.bytes() <= all / 2 && runs.bytes() > all / 4, "{}", runs.bytes());
        runs.forget(0);
        assert!((0..100).all(|at| at % 2 == 1 || runs.get((0, at), 9).is_none()));
        runs.forget(1);
        assert_eq!(runs.bytes(), 0);
    }
}
