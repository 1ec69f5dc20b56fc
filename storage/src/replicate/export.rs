//! A snapshot of a store in chunks, from which another store is made.
//!
//! Invariant: a chunk of a number has the same bytes whenever it is asked for.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::chunk::{ChunkWriter, ExportedCollection, ExportedIndex, first_hash};
use super::feed::{Feed, Pin};
use super::{Position, TermStart, term_at};
use crate::Error;
use crate::collection::CollectionHandle;
use crate::record_id::RecordId;
use crate::scan::Scan;
use crate::store::Store;
use crate::view::{Names, View};

/// A chunk ends when it has so many bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How long an export that nobody reads is kept for whoever comes back: it holds up a change of the data key.
const LEFT_MAX: Duration = Duration::from_secs(300);
/// So many exports are there at a time.
const EXPORTS_MAX: usize = 4;

/// What an export says of itself before its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    /// Names it, for whoever comes back to go on with it.
    pub id: [u8; 16],
    /// Of its last unit.
    pub position: Position,
    /// The terms of the log up to there, oldest first.
    pub terms: Vec<TermStart>,
    /// Collections, the server's own among them.
    pub collections: u64,
    /// Documents of all of them.
    pub documents: u64,
    /// Bytes of these, before they are put into chunks.
    pub bytes: u64,
    /// The number that the next collection gets.
    pub(crate) next_collection: u32,
}

/// The hash of all chunks of an export.
pub type ExportHash = [u8; 32];

/// One consistent moment of a store, to be read in chunks of about a mebibyte. While it is held the log after it is kept for
/// a follower, as far as it may be, and the store keeps what the moment has; so its age is bounded
/// (`Options::export_age_ms_max`). Dropped, it stays for [`Store::resume_export`].
#[derive(Debug)]
pub struct Export {
    slot: Arc<Slot>,
}

/// The exports of a store.
#[derive(Debug)]
pub(crate) struct Exports {
    slots: Mutex<Vec<Arc<Slot>>>,
    age_max: Duration,
}

#[derive(Debug)]
struct Slot {
    header: ExportHeader,
    began: Instant,
    /// Somebody reads it.
    taken: AtomicBool,
    /// When somebody did last.
    left: Mutex<Instant>,
    /// None: it is too old.
    moment: Mutex<Option<Moment>>,
}

struct Moment {
    view: View,
    _pin: Pin,
    /// By number, so that documents come in the order of the engine's keys.
    collections: Vec<CollectionHandle>,
    /// Where the chunks begin, as far as they are known, with the hash before each.
    starts: Vec<(Start, ExportHash)>,
    /// Reads on where the last chunk that was made ended: of which collection it reads.
    scan: Option<(Start, Scan)>,
}

/// Where a chunk begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Start {
    /// A place among the collections.
    collection: usize,
    /// The first document; none: what is said of the collection comes first.
    record: Option<RecordId>,
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moment")
    }
}

impl Export {
    /// What it says of itself.
    pub fn header(&self) -> &ExportHeader {
        &self.slot.header
    }

    /// The chunk of this number, from 0; none after the last one. Any chunk that was given already may be asked for again,
    /// and the one after these. Reads files, and may take its time.
    ///
    /// # Errors
    /// `Refused` when the export is too old, or the number skips some.
    pub fn chunk(&mut self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut moment = self.slot.moment.lock();
        let moment = moment.as_mut().ok_or_else(|| Error::Refused("the export is too old".into()))?;
        let start = usize::try_from(number).ok().and_then(|at| moment.starts.get(at).copied());
        let (start, before) = start.ok_or_else(|| Error::Refused(format!("chunk {number} does not come next")))?;
        let Some((chunk, next, hash)) = moment.make(number, start, &before)? else { return Ok(None) };
        if moment.starts.len() as u64 == number + 1 {
            moment.starts.push((next, hash));
        }
        Ok(Some(chunk))
    }

    /// The hash of all chunks; none before the last one was given.
    pub fn hash(&self) -> Option<ExportHash> {
        let moment = self.slot.moment.lock();
        let moment = moment.as_ref()?;
        let (start, hash) = moment.starts.last()?;
        (start.collection == moment.collections.len()).then_some(*hash)
    }
}

impl Export {
    /// Lets go of it at once: nobody will come back for it.
    pub fn end(self) {
        *self.slot.moment.lock() = None;
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        *self.slot.left.lock() = Instant::now();
        self.slot.taken.store(false, Ordering::Release);
    }
}

impl Moment {
    /// A chunk, where the next one begins, and its hash; none when there is nothing more.
    fn make(
        &mut self,
        number: u64,
        start: Start,
        before: &ExportHash,
    ) -> Result<Option<(Vec<u8>, Start, ExportHash)>, Error> {
        if start.collection >= self.collections.len() {
            return Ok(None);
        }
        let mut writer = ChunkWriter::new(number, CHUNK_BYTES);
        let mut at = start;
        while let Some(collection) = self.collections.get(at.collection)
            && writer.len() < CHUNK_BYTES
        {
            let first = match at.record {
                Some(first) => first,
                None => {
                    writer.collection(&describe(collection))?;
                    RecordId(0)
                }
            };
            at.record = Some(first);
            let mut scan = match self.scan.take() {
                Some((place, scan)) if place == at => scan,
                _ => self.view.scan_from(collection, first).unkept(),
            };
            loop {
                let Some(found) = scan.next() else {
                    at = Start { collection: at.collection + 1, record: None };
                    break;
                };
                let (record, document) = found?;
                writer.document(record, &document);
                at.record = Some(RecordId(record.0 + 1));
                if writer.len() >= CHUNK_BYTES {
                    self.scan = Some((at, scan));
                    break;
                }
            }
        }
        let (chunk, hash) = writer.finish(before);
        Ok(Some((chunk, at, hash)))
    }
}

fn describe(collection: &CollectionHandle) -> ExportedCollection {
    let state = &collection.0;
    let index = |index: &crate::Index| ExportedIndex {
        id: index.id,
        definition: index.spec.definition.clone(),
        failure: index.failure().map(str::to_owned),
    };
    ExportedCollection {
        id: state.meta.id,
        db: state.meta.db,
        name: state.meta.name.clone(),
        created_ms: state.meta.created_ms,
        options: state.meta.options.clone(),
        next_record: state.next_record,
        changed_lsn: state.changed_lsn,
        next_index: state.next_index,
        indexes: state.indexes.iter().map(index).collect(),
    }
}

impl Exports {
    /// None of which becomes older than this.
    pub(crate) fn new(age_max: Duration) -> Exports {
        Exports { slots: Mutex::default(), age_max }
    }

    /// Lets go of those that are too old.
    pub(crate) fn expire(&self) {
        let mut old = Vec::new();
        self.slots.lock().retain(|slot| {
            let left = !slot.taken.load(Ordering::Acquire) && slot.left.lock().elapsed() > LEFT_MAX;
            let keep = slot.began.elapsed() < self.age_max && !left;
            if !keep {
                old.push(Arc::clone(slot));
            }
            keep
        });
        for slot in old {
            tracing::info!(
                age_s = slot.began.elapsed().as_secs(),
                "an export is let go of: it is too old, or nobody came back for it"
            );
            *slot.moment.lock() = None;
        }
    }

    /// Lets go of all of them.
    pub(crate) fn close(&self) {
        let slots = std::mem::take(&mut *self.slots.lock());
        slots.iter().for_each(|slot| *slot.moment.lock() = None);
    }

    fn resume(&self, id: [u8; 16]) -> Option<Export> {
        let slots = self.slots.lock();
        let slot = slots.iter().find(|slot| slot.header.id == id && slot.moment.lock().is_some())?;
        if slot.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Export { slot: Arc::clone(slot) })
    }

    fn add(&self, slot: Slot) -> Result<Export, Error> {
        let mut slots = self.slots.lock();
        if slots.len() >= EXPORTS_MAX {
            let left = slots.iter().position(|slot| !slot.taken.load(Ordering::Acquire));
            let left = left.ok_or_else(|| Error::Busy(format!("{EXPORTS_MAX} exports are being read")))?;
            *slots.remove(left).moment.lock() = None;
        }
        let slot = Arc::new(slot);
        slots.push(Arc::clone(&slot));
        Ok(Export { slot })
    }
}

fn begin(feed: &Arc<Feed>, view: impl FnOnce() -> View) -> Slot {
    // Kept before the moment is known, so that nothing after it is trimmed.
    let pin = feed.pin(feed.lsn_readable());
    let view = view();
    let lsn = view.state.lsn;
    pin.advance(lsn);
    let terms = view.state.terms.to_vec();
    let mut collections: Vec<CollectionHandle> = view.state.databases.iter().flat_map(Names::values).cloned().collect();
    collections.sort_by_key(CollectionHandle::id);
    let header = ExportHeader {
        id: rand::random(),
        position: Position { history: feed.history_id(), term: term_at(&terms, lsn), lsn },
        terms,
        collections: collections.len() as u64,
        documents: collections.iter().map(CollectionHandle::count).sum(),
        bytes: collections.iter().map(CollectionHandle::size).sum(),
        next_collection: view.state.next_collection,
    };
    let starts = vec![(Start { collection: 0, record: None }, first_hash(&header))];
    let moment = Moment { view, _pin: pin, collections, starts, scan: None };
    Slot {
        header,
        began: Instant::now(),
        taken: AtomicBool::new(true),
        left: Mutex::new(Instant::now()),
        moment: Mutex::new(Some(moment)),
    }
}

impl Store {
    /// A snapshot of this moment. There are four at a time; the next one takes the place of the oldest that nobody reads.
    ///
    /// # Errors
    /// `Busy` when all are being read.
    pub fn export(&self) -> Result<Export, Error> {
        self.exports.expire();
        self.exports.add(begin(&self.shared.feed, || View::stored(&self.shared)))
    }

    /// The export of this id, if it is still there and nobody reads it.
    pub fn resume_export(&self, id: [u8; 16]) -> Option<Export> {
        self.exports.expire();
        self.exports.resume(id)
    }
}
