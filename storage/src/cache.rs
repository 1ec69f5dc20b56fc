//! The document cache: opened documents as the engine has them, under a memory budget.
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

const SHARDS: usize = 64;
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
    budget_bytes: AtomicUsize,
    generation: AtomicU64,
}

impl DocumentCache {
    pub(crate) fn new(budget_bytes: usize) -> DocumentCache {
        let shard = |_| {
            let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
            RwLock::new(Shard { entries: LruCache::new_unbounded(), bytes: 0, hits, misses })
        };
        DocumentCache {
            shards: (0..SHARDS).map(shard).collect(),
            budget_bytes: AtomicUsize::new(budget_bytes),
            generation: AtomicU64::new(0),
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
        let counter = if found.is_some() { &shard.hits } else { &shard.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
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

    /// What the checkpoint of this generation wrote for a record.
    pub(crate) fn refresh(&self, key: RecordKey, generation: u64, version: Version) {
        let mut shard = self.shard(key).write();
        match version {
            Some(document) => self.place(&mut shard, key, generation, document),
            None => {
                if let Some(old) = shard.entries.remove(&key) {
                    shard.bytes -= old.bytes;
                }
            }
        }
    }

    fn place(&self, shard: &mut Shard, key: RecordKey, generation: u64, document: Arc<Document>) {
        let bytes = ENTRY_OVERHEAD_BYTES + document.body.len();
        let budget = self.budget_bytes.load(Ordering::Relaxed) / SHARDS;
        if bytes > budget {
            if let Some(old) = shard.entries.remove(&key) {
                shard.bytes -= old.bytes;
            }
            return;
        }
        let entry = Entry { generation, document, bytes, touched: AtomicBool::new(false) };
        if let Some(old) = shard.entries.insert(key, entry) {
            shard.bytes -= old.bytes;
        }
        shard.bytes += bytes;
        while shard.bytes > budget {
            let Some((key, mut old)) = shard.entries.remove_lru() else { break };
            // A second chance (the clock algorithm): what was read goes back to the other end, once.
            if std::mem::take(old.touched.get_mut()) {
                shard.entries.insert(key, old);
            } else {
                shard.bytes -= old.bytes;
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(|s| s.read().bytes).sum()
    }

    pub(crate) fn set_budget_bytes(&self, bytes: usize) {
        self.budget_bytes.store(bytes, Ordering::Relaxed);
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
        cache.refresh(key, 1, Some(document(2)));
        assert!(cache.get(key, 0).is_none());
        assert_eq!(cache.get(key, 1).map(|d| d.version), Some(2));
        cache.fill(key, 0, &document(1));
        assert_eq!(cache.get(key, 1).map(|d| d.version), Some(2), "a late reader of generation 0 must not fill");
        cache.refresh(key, 1, None);
        assert!(cache.get(key, 1).is_none());
    }

    #[test]
    fn stays_inside_its_budget() {
        let cache = DocumentCache::new(64 * 1000);
        for n in 0..10_000 {
            cache.fill((1, RecordId(n)), 0, &document(1));
        }
        assert!(cache.bytes() <= 64 * 1000 && cache.bytes() > 64 * 500, "{}", cache.bytes());
    }
}
