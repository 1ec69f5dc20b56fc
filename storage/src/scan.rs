//! Scans: the documents of a collection in natural order, the memory tables merged over what the engine has.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Error;
use crate::document::record::Document;
use crate::kv::{Pairs, Space};
use crate::memtable::{Memtable, Version};
use crate::record_id::{RecordId, document_key, record_of_key};
use crate::runs::{Records, cost_of, first_of, run_of};
use crate::shared::open_document;
use crate::view::View;

/// Records taken from a memory table at a time.
const CHUNK: usize = 256;

/// A run that would take more than this is not kept.
const RUN_BYTES_MAX: usize = 4 << 20;

/// The documents of a collection in natural order.
pub struct Scan {
    view: View,
    collection: u32,
    stored: Stored,
    stored_next: Option<(RecordId, Body)>,
    recent: VecDeque<(RecordId, Version)>,
    /// Where the next chunk of the memory tables begins; none at their end.
    recent_from: Option<RecordId>,
    /// So many more stored documents are looked for in the cache, and put there.
    cached: usize,
    /// Whether runs that are read are kept.
    keeps: bool,
    failed: bool,
}

/// A document that the engine has.
enum Body {
    Sealed(bytes::Bytes),
    Open(Arc<Document>),
}

/// Where the engine's documents come from.
enum Stored {
    /// A run in memory, and where in it.
    Run { records: Records, at: usize, run: u64 },
    /// The engine, in this run, and what was gathered of it if it is to be kept.
    Engine { pairs: Pairs, run: u64, gathered: Option<Gathered> },
    /// Nothing is left.
    End,
}

/// A run that is read from its beginning on.
#[derive(Default)]
struct Gathered {
    records: Vec<(RecordId, Arc<Document>)>,
    bytes: usize,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("collection", &self.collection).finish_non_exhaustive()
    }
}

impl Scan {
    pub(crate) fn new(view: View, collection: u32, first: RecordId) -> Scan {
        let mut scan = Scan {
            view,
            collection,
            stored: Stored::End,
            stored_next: None,
            recent: VecDeque::new(),
            recent_from: Some(first),
            cached: 0,
            keeps: true,
            failed: false,
        };
        scan.stored = scan.seek(first);
        if let Err(error) = scan.advance_stored() {
            let pairs: Pairs = Box::new(std::iter::once(Err(error)));
            scan.stored = Stored::Engine { pairs, run: 0, gathered: None };
        }
        scan
    }

    /// Keeps nothing of what it reads, for a scan of all there is.
    #[must_use]
    pub(crate) fn unkept(mut self) -> Scan {
        self.keeps = false;
        if let Stored::Engine { gathered, .. } = &mut self.stored {
            *gathered = None;
        }
        self
    }

    /// Keeps the first documents in the cache, for a scan that is likely to end soon: the next one will look at the same.
    #[must_use]
    pub fn cached(mut self, documents: usize) -> Scan {
        self.cached = documents;
        self
    }

    /// The engine's documents from this record on.
    fn seek(&self, from: RecordId) -> Stored {
        let run = run_of(from);
        let sources = &self.view.state.sources;
        if let Some(records) = self.view.shared.cache.run((self.collection, run), sources.generation) {
            let at = records.partition_point(|(record, _)| *record < from);
            return Stored::Run { records, at, run };
        }
        let (first, last) = (document_key(self.collection, from), document_key(self.collection, RecordId(u64::MAX)));
        let pairs = sources.snapshot.range(Space::Documents, &first, &last);
        let gathered = (self.keeps && from == first_of(run)).then(Gathered::default);
        Stored::Engine { pairs, run, gathered }
    }

    fn open(&mut self, record: RecordId, body: Body) -> Result<Arc<Document>, Error> {
        let sealed = match body {
            Body::Open(document) => return Ok(document),
            Body::Sealed(sealed) => sealed,
        };
        let (shared, key) = (&self.view.shared, (self.collection, record));
        let generation = self.view.state.sources.generation;
        let cached = self.cached > 0;
        if cached && let Some(document) = shared.cache.get(key, generation) {
            self.cached -= 1;
            return Ok(document);
        }
        let document = Arc::new(open_document(&shared.sealer, &document_key(self.collection, record), &sealed)?);
        if cached {
            shared.cache.fill(key, generation, &document);
            self.cached -= 1;
        }
        Ok(document)
    }

    /// Goes on to the next document of the engine.
    fn advance_stored(&mut self) -> Result<(), Error> {
        self.stored_next = loop {
            match &mut self.stored {
                Stored::End => break None,
                Stored::Run { records, at, run } => {
                    if let Some((record, document)) = records.get(*at) {
                        *at += 1;
                        break Some((*record, Body::Open(Arc::clone(document))));
                    }
                    let next = first_of(*run + 1);
                    self.stored = self.seek(next);
                }
                Stored::Engine { pairs, run, gathered } => {
                    let pair = pairs.next().transpose()?;
                    let next = pair.and_then(|(key, sealed)| record_of_key(&key).map(|record| (record, sealed)));
                    let next_run = next.as_ref().map(|(record, _)| run_of(*record));
                    if next_run != Some(*run) {
                        let (run_before, gathered_before) = (*run, gathered.take());
                        if let Some(next_run) = next_run {
                            (*run, *gathered) = (next_run, self.keeps.then(Gathered::default));
                        }
                        if let Some(gathered) = gathered_before {
                            self.keep(run_before, gathered);
                        }
                        // All that the engine has of the next run is still to come, so a run in memory stands for it.
                        match next_run.map(|run| self.run(run)) {
                            None => self.stored = Stored::End,
                            Some(Some(in_memory)) => self.stored = in_memory,
                            Some(None) => {}
                        }
                    }
                    if let Stored::Engine { gathered, .. } = &mut self.stored
                        && let Some((record, sealed)) = next
                    {
                        let Some(gathering) = gathered else { break Some((record, Body::Sealed(sealed))) };
                        let key = document_key(self.collection, record);
                        let document = Arc::new(open_document(&self.view.shared.sealer, &key, &sealed)?);
                        gathering.bytes += cost_of(&document);
                        gathering.records.push((record, Arc::clone(&document)));
                        if gathering.bytes > RUN_BYTES_MAX {
                            *gathered = None;
                        }
                        break Some((record, Body::Open(document)));
                    }
                }
            }
        };
        Ok(())
    }

    /// This run, if it is in memory.
    fn run(&self, run: u64) -> Option<Stored> {
        let generation = self.view.state.sources.generation;
        let records = self.view.shared.cache.run((self.collection, run), generation)?;
        Some(Stored::Run { records, at: 0, run })
    }

    fn keep(&self, run: u64, gathered: Gathered) {
        let generation = self.view.state.sources.generation;
        self.view.shared.cache.fill_run((self.collection, run), generation, gathered.records.into());
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
                let Some((record, body)) = self.stored_next.take() else { return Ok(None) };
                self.advance_stored()?;
                let document = self.open(record, body)?;
                if document.is_expired(self.view.now_ms) {
                    continue;
                }
                return Ok(Some((record, document)));
            }
            if recent == stored {
                self.advance_stored()?;
            }
            if let Some((record, Some(document))) = self.recent.pop_front()
                && !document.is_expired(self.view.now_ms)
            {
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
