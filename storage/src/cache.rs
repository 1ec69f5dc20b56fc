//! The document cache: opened documents as the engine has them, under a memory budget; single ones, and the runs of them
//! that scans read ([`crate::runs`]). A document is mostly in one of both. Either may take at least a quarter of the budget, and
//! what the other leaves.
//!
//! Entries are replaced or dropped one by one as checkpoints write newer versions. Because readers may hold older moments,
//! an entry carries the generation of the engine (one a checkpoint) from which on it is right, and a reader of an older
//! generation neither uses nor fills in a newer one.

use hashlink::LruCache;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::document::record::Document;
use crate::memtable::{RecordKey, Version};
use crate::runs::{self, Records, RunKey, Runs, run_of};

const SHARDS: usize = 64;
/// Where runs have no room left, one in so many takes the place of others.
const REPLACED_ONE_IN: u32 = 16;
/// What an entry costs beside the document's bytes: table, links, `Arc`.
const ENTRY_OVERHEAD_BYTES: usize = 160;

#[derive(Debug)]
struct Entry {
    generation: u64,
    document: Arc<Document>,
    bytes: usize,
    /// Read since it last came to the end of the queue. Marking is all that a reader does, so readers share the lock.
    touched: AtomicBool,
}

#[derive(Debug)]
struct Shard {
    entries: LruCache<RecordKey, Entry>,
    bytes: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The cache, sharded so that readers rarely meet.
#[derive(Debug)]
pub(crate) struct DocumentCache {
    shards: Box<[RwLock<Shard>]>,
    /// Bytes of all shards.
    shard_bytes: AtomicUsize,
    runs: Runs,
    budget_bytes: AtomicUsize,
    generation: AtomicU64,
    /// Documents read one by one that made room for others.
    evictions: AtomicU64,
}

impl DocumentCache {
    pub(crate) fn new(budget_bytes: usize) -> DocumentCache {
        let shard = |_| {
            let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
            RwLock::new(Shard { entries: LruCache::new_unbounded(), bytes: 0, hits, misses })
        };
        DocumentCache {
            shards: (0..SHARDS).map(shard).collect(),
            shard_bytes: AtomicUsize::new(0),
            runs: Runs::default(),
            budget_bytes: AtomicUsize::new(budget_bytes),
            generation: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    fn shard(&self, key: RecordKey) -> &RwLock<Shard> {
        // Record ids ascend, so their low bits spread well.
        let at = (key.1.0 as usize).wrapping_add((key.0 as usize).wrapping_mul(31)) % SHARDS;
        self.shards.get(at).expect("at is below the number of shards")
    }

    /// The document as a reader of this generation must see it.
    pub(crate) fn get(&self, key: RecordKey, generation: u64) -> Option<Arc<Document>> {
        let shard = self.shard(key).read();
        let found = shard.entries.peek(&key).filter(|e| e.generation <= generation).map(|e| {
            if !e.touched.load(Ordering::Relaxed) {
                e.touched.store(true, Ordering::Relaxed);
            }
            Arc::clone(&e.document)
        });
        let found = found.or_else(|| self.runs.find(key, generation));
        let counter = if found.is_some() { &shard.hits } else { &shard.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// A run as a reader of this generation must see it.
    pub(crate) fn run(&self, key: RunKey, generation: u64) -> Option<Records> {
        self.runs.get(key, generation)
    }

    /// Keeps a run that a reader of this generation took from the engine, if there is room, unless a checkpoint came in
    /// between. When there is none it mostly stays out: of many runs that scans read in turn, those that are here are worth
    /// as much.
    pub(crate) fn fill_run(&self, key: RunKey, generation: u64, records: Records) {
        let (bytes, room) = (runs::cost(&records), self.room_of_runs());
        if self.runs.bytes() + bytes > room {
            if bytes > room || rand::random_range(0..REPLACED_ONE_IN) > 0 {
                return;
            }
            self.runs.shrink(room - bytes);
        }
        for (record, _) in records.iter() {
            let mut shard = self.shard((key.0, *record)).write();
            self.remove(&mut shard, (key.0, *record));
        }
        self.runs.fill(key, generation, records, &self.generation);
    }

    /// What runs may take.
    fn room_of_runs(&self) -> usize {
        let budget = self.budget_bytes.load(Ordering::Relaxed);
        let left = budget.saturating_sub(self.shard_bytes.load(Ordering::Relaxed));
        left.clamp(budget / 4, budget / 4 * 3)
    }

    /// What single documents may take.
    fn room_of_documents(&self) -> usize {
        let budget = self.budget_bytes.load(Ordering::Relaxed);
        budget.saturating_sub(self.runs.bytes()).max(budget / 4)
    }

    fn remove(&self, shard: &mut Shard, key: RecordKey) {
        if let Some(old) = shard.entries.remove(&key) {
            shard.bytes -= old.bytes;
            self.shard_bytes.fetch_sub(old.bytes, Ordering::Relaxed);
        }
    }

    /// Keeps a document that a reader of this generation took from the engine, unless a checkpoint came in between.
    pub(crate) fn fill(&self, key: RecordKey, generation: u64, document: &Arc<Document>) {
        let mut shard = self.shard(key).write();
        // Asked under the lock: a checkpoint raises the generation first and then visits the shard.
        if self.generation.load(Ordering::Acquire) == generation {
            self.place(&mut shard, key, generation, Arc::clone(document));
        }
    }

    /// A checkpoint is about to change the engine to this generation.
    pub(crate) fn begin_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// What the checkpoint of this generation wrote, in order.
    pub(crate) fn refresh(&self, generation: u64, written: &[(RecordKey, Version)]) {
        let run = |key: &RecordKey| (key.0, run_of(key.1));
        for of_one_run in written.chunk_by(|(a, _), (b, _)| run(a) == run(b)) {
            let Some((first, _)) = of_one_run.first() else { continue };
            let in_run = self.runs.refresh(run(first), generation, of_one_run);
            for (key, version) in of_one_run {
                let mut shard = self.shard(*key).write();
                match version {
                    Some(document) if !in_run => self.place(&mut shard, *key, generation, Arc::clone(document)),
                    _ => self.remove(&mut shard, *key),
                }
            }
        }
        self.runs.shrink(self.room_of_runs());
    }

    /// Drops the runs of a collection that is gone.
    pub(crate) fn forget(&self, collection: u32) {
        self.runs.forget(collection);
    }

    fn place(&self, shard: &mut Shard, key: RecordKey, generation: u64, document: Arc<Document>) {
        let bytes = ENTRY_OVERHEAD_BYTES + document.body.len();
        let budget = self.room_of_documents() / SHARDS;
        self.remove(shard, key);
        if bytes > budget {
            return;
        }
        shard.entries.insert(key, Entry { generation, document, bytes, touched: AtomicBool::new(false) });
        shard.bytes += bytes;
        self.shard_bytes.fetch_add(bytes, Ordering::Relaxed);
        while shard.bytes > budget {
            let Some((key, mut old)) = shard.entries.remove_lru() else { break };
            // A second chance (the clock algorithm): what was read goes back to the other end, once.
            if std::mem::take(old.touched.get_mut()) {
                shard.entries.insert(key, old);
            } else {
                shard.bytes -= old.bytes;
                self.shard_bytes.fetch_sub(old.bytes, Ordering::Relaxed);
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shard_bytes.load(Ordering::Relaxed) + self.runs.bytes()
    }

    pub(crate) fn set_budget_bytes(&self, bytes: usize) {
        self.budget_bytes.store(bytes, Ordering::Relaxed);
        self.runs.shrink(self.room_of_runs());
    }

    /// Documents that made room for others since the store was opened; those in runs are not among them.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Hits and misses since the store was opened.
    pub(crate) fn counters(&self) -> (u64, u64) {
        self.shards.iter().fold((0, 0), |(hits, misses), shard| {
            let shard = shard.read();
            (hits + shard.hits.load(Ordering::Relaxed), misses + shard.misses.load(Ordering::Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_id::RecordId;

    fn document(version: u64) -> Arc<Document> {
        Arc::new(Document::new(version, vec![0; 100].into()))
    }

    #[test]
    fn a_reader_of_an_older_generation_sees_and_leaves_nothing_newer() {
        let cache = DocumentCache::new(1 << 20);
        let key = (1, RecordId(1));
        cache.fill(key, 0, &document(1));
        assert_eq!(cache.get(key, 0).map(|d| d.version), Some(1));
        cache.begin_generation(1);
        cache.refresh(1, &[(key, Some(document(2)))]);
        assert!(cache.get(key, 0).is_none());
        assert_eq!(cache.get(key, 1).map(|d| d.version), Some(2));
        cache.fill(key, 0, &document(1));
        assert_eq!(cache.get(key, 1).map(|d| d.version), Some(2), "a late reader of generation 0 must not fill");
        cache.refresh(1, &[(key, None)]);
        assert!(cache.get(key, 1).is_none());
    }

    #[test]
    fn stays_inside_its_budget() {
        let cache = DocumentCache::new(64 * 1000);
        for n in 0..10_000 {
            cache.fill((1, RecordId(n)), 0, &document(1));
        }
        assert!(cache.bytes() <= 64 * 1000 && cache.bytes() > 64 * 500, "{}", cache.bytes());
        // Runs of the same documents take their place, of others a quarter of it.
        let run = |run: u64| (0..256).map(|at| (RecordId((run << 8) + at), document(1))).collect::<Records>();
        cache.fill_run((1, 38), 0, run(38));
        assert!(cache.run((1, 38), 0).is_none(), "larger than a quarter");
        cache.set_budget_bytes(64 * 4000);
        for at in 0..100 {
            cache.fill_run((2, at), 0, run(at));
        }
        assert!((0..100).any(|at| cache.run((2, at), 0).is_some()));
        assert!(cache.bytes() <= 64 * 4000 && cache.bytes() > 64 * 3000, "{}", cache.bytes());
        for n in 0..10_000 {
            cache.fill((3, RecordId(n)), 0, &document(1));
        }
        assert!(cache.bytes() <= 64 * 4000, "{}", cache.bytes());
    }
}
