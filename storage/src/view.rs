//! Views: one consistent moment of all the data, and scans over it.

use rpds::HashTrieMapSync;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::Error;
use crate::collection::CollectionHandle;
use crate::document::record::Document;
use crate::index::PageId;
use crate::kv::{Pairs, Space};
use crate::lsn::Lsn;
use crate::memtable::{Memtable, Version};
use crate::record_id::{RecordId, document_key, record_of_key};
use crate::shared::{Shared, Sources, open_document};
use crate::spill::Spills;
use crate::trees::Trees;

/// The collections of one database by name. Persistent: a copy shares all but what changes.
pub(crate) type Names = HashTrieMapSync<Arc<str>, CollectionHandle>;

/// What readers see until the next group is committed.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) lsn: Lsn,
    pub(crate) databases: Vec<Names>,
    pub(crate) sources: Sources,
    pub(crate) next_collection: u32,
    /// Pages made so far are below this id.
    pub(crate) page_watermark: PageId,
}

/// One consistent moment of all the data. Cheap to make and to clone; hold it only as long as a command, since it keeps
/// old versions from being dropped.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<State>,
}

impl View {
    /// The last unit that this view shows.
    pub fn lsn(&self) -> Lsn {
        self.state.lsn
    }

    /// The collection of this name.
    pub fn collection(&self, db: u8, name: &str) -> Option<CollectionHandle> {
        self.state.databases.get(usize::from(db))?.get(name).cloned()
    }

    /// The collections of a database, sorted by name.
    pub fn collections(&self, db: u8) -> Vec<CollectionHandle> {
        let names = self.state.databases.get(usize::from(db));
        let mut all: Vec<CollectionHandle> = names.into_iter().flat_map(|n| n.values().cloned()).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// The record of an id, which is given as its text.
    pub fn find_id(&self, collection: &CollectionHandle, id: &[u8]) -> Result<Option<RecordId>, Error> {
        self.trees().find_id(collection, id)
    }

    /// The trees of its collections.
    pub fn trees(&self) -> Trees<'_> {
        Trees::new(&self.shared.pager, self.state.lsn)
    }

    /// Where temporary files are made.
    pub fn spills(&self) -> &Spills {
        &self.shared.spills
    }

    /// A document by its record.
    pub fn record(&self, collection: &CollectionHandle, record: RecordId) -> Result<Option<Arc<Document>>, Error> {
        self.state.sources.read(&self.shared, (collection.id().0, record), self.state.lsn)
    }

    /// A document by its id's text.
    pub fn get(&self, collection: &CollectionHandle, id: &[u8]) -> Result<Option<Arc<Document>>, Error> {
        match self.find_id(collection, id)? {
            Some(record) => self.record(collection, record),
            None => Ok(None),
        }
    }

    /// Every document of a collection, in natural order (ascending record ids).
    pub fn scan(&self, collection: &CollectionHandle) -> Scan {
        self.scan_from(collection, RecordId(0))
    }

    /// The documents of a collection from this record on, in natural order.
    pub fn scan_from(&self, collection: &CollectionHandle, record: RecordId) -> Scan {
        Scan::new(self.clone(), collection.id().0, record)
    }

    /// How large the `_id` index of a collection is: entries, and bytes of its pages (large indexes are sampled).
    pub fn id_index_size(&self, collection: &CollectionHandle) -> Result<(u64, u64), Error> {
        let size = collection.0.id_index.measure(&self.shared.pager)?;
        Ok((size.entries, size.bytes))
    }
}

/// Records taken from a memory table at a time.
const CHUNK: usize = 256;

/// The documents of a collection in natural order; merges the memory tables over the engine.
pub struct Scan {
    view: View,
    collection: u32,
    stored: Pairs,
    stored_next: Option<(RecordId, bytes::Bytes)>,
    recent: VecDeque<(RecordId, Version)>,
    /// Where the next chunk of the memory tables begins; none at their end.
    recent_from: Option<RecordId>,
    /// So many more stored documents are looked for in the cache, and put there.
    cached: usize,
    failed: bool,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("collection", &self.collection).finish_non_exhaustive()
    }
}

impl Scan {
    fn new(view: View, collection: u32, first: RecordId) -> Scan {
        let from = document_key(collection, first);
        let to = document_key(collection, RecordId(u64::MAX));
        let stored = view.state.sources.snapshot.range(Space::Documents, &from, &to);
        let mut scan = Scan {
            view,
            collection,
            stored,
            stored_next: None,
            recent: VecDeque::new(),
            recent_from: Some(first),
            cached: 0,
            failed: false,
        };
        if let Err(error) = scan.advance_stored() {
            scan.stored = Box::new(std::iter::once(Err(error)));
        }
        scan
    }

    /// Keeps the first documents in the cache, for a scan that is likely to end soon: the next one will look at the same.
    /// All of a long one would only push others out.
    #[must_use]
    pub fn cached(mut self, documents: usize) -> Scan {
        self.cached = documents;
        self
    }

    fn open(&mut self, record: RecordId, sealed: &[u8]) -> Result<Arc<Document>, Error> {
        let (shared, key) = (&self.view.shared, (self.collection, record));
        let generation = self.view.state.sources.generation;
        let cached = self.cached > 0;
        if cached && let Some(document) = shared.cache.get(key, generation) {
            self.cached -= 1;
            return Ok(document);
        }
        let document = Arc::new(open_document(&shared.sealer, &document_key(self.collection, record), sealed)?);
        if cached {
            shared.cache.fill(key, generation, &document);
            self.cached -= 1;
        }
        Ok(document)
    }

    fn advance_stored(&mut self) -> Result<(), Error> {
        self.stored_next = match self.stored.next() {
            Some(pair) => {
                let (key, value) = pair?;
                record_of_key(&key).map(|record| (record, value))
            }
            None => None,
        };
        Ok(())
    }

    /// Takes the next chunk of both memory tables, as far as both are known; the active one wins.
    fn refill_recent(&mut self) {
        while self.recent.is_empty()
            && let Some(from) = self.recent_from
        {
            let (lsn, sources) = (self.view.state.lsn, &self.view.state.sources);
            let chunk = |table: &Memtable| table.chunk(self.collection, from, lsn, CHUNK);
            let active = chunk(&sources.active);
            let frozen = sources.frozen.as_ref().map(|t| chunk(t)).unwrap_or_default();
            let end = |part: &[(RecordId, Version)]| part.last().filter(|_| part.len() == CHUNK).map(|(id, _)| *id);
            let bound = [end(&active), end(&frozen)].into_iter().flatten().min();
            let mut merged = std::collections::BTreeMap::new();
            merged.extend(frozen);
            merged.extend(active);
            self.recent = merged.into_iter().take_while(|(id, _)| bound.is_none_or(|b| *id <= b)).collect();
            self.recent_from = bound.map(|b| RecordId(b.0 + 1));
        }
    }

    fn step(&mut self) -> Result<Option<(RecordId, Arc<Document>)>, Error> {
        loop {
            self.refill_recent();
            let recent = self.recent.front().map(|(id, _)| *id);
            let stored = self.stored_next.as_ref().map(|(id, _)| *id);
            let from_recent = match (recent, stored) {
                (None, None) => return Ok(None),
                (Some(r), Some(s)) => r <= s,
                (recent, _) => recent.is_some(),
            };
            if !from_recent {
                let Some((record, sealed)) = self.stored_next.take() else { return Ok(None) };
                self.advance_stored()?;
                return Ok(Some((record, self.open(record, &sealed)?)));
            }
            if recent == stored {
                self.advance_stored()?;
            }
            if let Some((record, Some(document))) = self.recent.pop_front() {
                return Ok(Some((record, document)));
            }
        }
    }
}

impl Iterator for Scan {
    type Item = Result<(RecordId, Arc<Document>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
