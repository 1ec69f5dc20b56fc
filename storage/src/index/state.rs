//! One index of one collection at one moment, and what a change of a document does to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{Entries, Entry};
use super::pager::Pager;
use super::recent::Recent;
use super::spec::IndexSpec;
use super::tree::Tree;
use crate::Error;
use crate::document::ordered;
use crate::document::record::Document;
use crate::lsn::Lsn;
use crate::record_id::RecordId;
use crate::trees::{KeyRange, Trees};

/// What the message of a unique index that cannot be built begins with.
pub(crate) const DUPLICATE: &str = "duplicate key";

/// An index of a collection, as one moment sees it.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its number in the collection; never used again after a drop.
    pub(crate) id: u32,
    pub(crate) spec: Arc<IndexSpec>,
    pub(crate) figures: Arc<IndexFigures>,
    pub(crate) phase: Phase,
    /// The entries as the last checkpoint has them; empty until the build is done.
    pub(crate) tree: Tree,
    /// What changed since the one that is being written began.
    pub(crate) recent: Arc<Recent>,
    /// What the one that is being written brings to the tree.
    pub(crate) frozen: Option<Arc<Recent>>,
    /// A bit for each field whose path ever met an array.
    pub(crate) multikey: u32,
    /// Whether there ever was an entry whose fields were shortened.
    pub(crate) shortened: bool,
}

/// How far an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being built beside the committer; changes are collected for it.
    Building,
    /// Built and kept up to date, but no checkpoint has it yet: a crash would have it built again.
    Adopted,
    /// In use.
    Ready,
    /// The build failed; why.
    Failed(Arc<str>),
}

/// What is counted for an index since the start.
#[derive(Debug, Default)]
pub(crate) struct IndexFigures {
    pub(crate) hits: AtomicU64,
    /// Milliseconds since 1970; 0: not yet.
    pub(crate) last_used_ms: AtomicU64,
    /// Documents that the build has read, and how many there were to read.
    pub(crate) scanned: AtomicU64,
    pub(crate) to_scan: AtomicU64,
}

impl Index {
    pub(crate) fn new(id: u32, spec: Arc<IndexSpec>, phase: Phase, tree: Tree) -> Index {
        let recent = Arc::new(Recent::new(spec.definition.unique));
        Index { id, spec, figures: Arc::default(), phase, tree, recent, frozen: None, multikey: 0, shortened: false }
    }

    /// What it is made of.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// Whether queries may use it.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// `building`, `ready` or `failed`.
    pub fn state(&self) -> &'static str {
        match self.phase {
            Phase::Building | Phase::Adopted => "building",
            Phase::Ready => "ready",
            Phase::Failed(_) => "failed",
        }
    }

    /// Why the build failed.
    pub fn failure(&self) -> Option<&str> {
        if let Phase::Failed(why) = &self.phase { Some(why) } else { None }
    }

    /// Whether the build failed because two documents have one key.
    pub fn failed_by_duplicate(&self) -> bool {
        self.failure().is_some_and(|why| why.starts_with(DUPLICATE))
    }

    /// How much of the build is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        let (done, all) = (self.figures.scanned.load(Ordering::Relaxed), self.figures.to_scan.load(Ordering::Relaxed));
        match self.phase {
            Phase::Ready => 1.0,
            _ if all == 0 => 0.0,
            _ => (done as f64 / all as f64).min(0.99),
        }
    }

    /// Whether the field at this place ever had an array on its path.
    pub fn is_multikey(&self, field: usize) -> bool {
        self.multikey & (1 << field) != 0
    }

    /// Whether any field ever had an array on its path: a document may have several entries.
    pub fn has_multikey(&self) -> bool {
        self.multikey != 0
    }

    /// Whether there may be entries whose fields were shortened: their order among themselves is not that of their values.
    pub fn has_shortened(&self) -> bool {
        self.shortened
    }

    /// How often a query used it since the start, and when it was last, ms since 1970.
    pub fn usage(&self) -> (u64, Option<u64>) {
        let last = self.figures.last_used_ms.load(Ordering::Relaxed);
        (self.figures.hits.load(Ordering::Relaxed), Some(last).filter(|ms| *ms > 0))
    }

    /// Counts a use.
    pub fn note_use(&self, now_ms: u64) {
        self.figures.hits.fetch_add(1, Ordering::Relaxed);
        self.figures.last_used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// Hands what changed to the checkpoint that begins.
    pub(crate) fn freeze(&mut self) {
        let empty = Arc::new(Recent::new(self.spec.definition.unique));
        self.frozen = Some(std::mem::replace(&mut self.recent, empty));
    }

    /// Whether it has a tree that changes of documents change.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.phase, Phase::Adopted | Phase::Ready)
    }

    /// Whether it has exactly this entry at `lsn`.
    pub(crate) fn has(&self, pager: &Pager, key: &[u8], lsn: Lsn) -> Result<bool, Error> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.get(key, lsn));
        match self.recent.get(key, lsn).or_else(frozen) {
            Some(there) => Ok(there),
            None => Ok(self.tree.get(pager, key)?.is_some()),
        }
    }

    /// Of a unique index: the first of these keys that another document has already, and that document.
    pub(crate) fn taken<'k>(
        &self,
        pager: &Pager,
        added: &'k [Vec<u8>],
        record: RecordId,
    ) -> Result<Option<(&'k [u8], RecordId)>, Error> {
        if !self.spec.definition.unique || !self.is_kept() {
            return Ok(None);
        }
        for key in added {
            if let Some(other) = self.other_with_fields(pager, key, record)? {
                return Ok(Some((key, other)));
            }
        }
        Ok(None)
    }

    /// Another document that has an entry now that equals this key's fields; missing and null are equal here.
    pub(crate) fn other_with_fields(
        &self,
        pager: &Pager,
        key: &[u8],
        record: RecordId,
    ) -> Result<Option<RecordId>, Error> {
        let Some(fields) = Entry::of(key).map(|entry| entry.fields) else { return Ok(None) };
        let Some(equal) = self.spec.equal_fields(fields) else { return self.other_with_nulls(pager, key, record) };
        for fields in &equal {
            // Nearly always there is nothing, which is found without a walk.
            let known = |recent: &Arc<Recent>| !recent.is_empty() && recent.may_know(fields);
            let recently = known(&self.recent) || self.frozen.as_ref().is_some_and(known);
            if !recently && !self.tree.has_prefix(pager, fields)? {
                continue;
            }
            let range = KeyRange { from: fields.clone(), to: ordered::after(fields) };
            let mut walk = Trees::new(pager, Lsn::MAX).walk(self, &range, false)?;
            while let Some(entry) = walk.entry() {
                if entry.fields == fields.as_slice() && entry.record != record {
                    return Ok(Some(entry.record));
                }
                walk.advance()?;
            }
        }
        Ok(None)
    }

    /// The same for keys with many nulls: compares with all that sort like them.
    fn other_with_nulls(&self, pager: &Pager, key: &[u8], record: RecordId) -> Result<Option<RecordId>, Error> {
        let mut sorted = Vec::new();
        let Some(wanted) = Entry::of(key) else { return Ok(None) };
        let settled =
            self.spec.sort_bytes(&wanted, self.spec.fields.len(), &mut sorted).map_or(0, |(settled, _)| settled);
        // What comes before the first null is in the key as it is.
        let prefix = wanted.fields.get(..settled.saturating_sub(1)).unwrap_or_default();
        let range = KeyRange { from: prefix.to_vec(), to: ordered::after(prefix) };
        let mut walk = Trees::new(pager, Lsn::MAX).walk(self, &range, false)?;
        while let Some(entry) = walk.entry() {
            if entry.record != record && self.spec.is_equal(&wanted, &entry) {
                return Ok(Some(entry.record));
            }
            walk.advance()?;
        }
        Ok(None)
    }
}

/// What one change of a document does to one index.
#[derive(Debug, Default)]
pub(crate) struct IndexEdit {
    pub(crate) index: u32,
    pub(crate) removed: Vec<Vec<u8>>,
    pub(crate) added: Vec<Vec<u8>>,
    pub(crate) multikey: u32,
    pub(crate) shortened: bool,
}

impl IndexEdit {
    /// From what the document had to what it will have.
    pub(crate) fn between(index: u32, before: Entries, after: Entries) -> IndexEdit {
        let removed = before.keys.iter().filter(|key| after.keys.binary_search(key).is_err()).cloned().collect();
        let (multikey, shortened) = (after.multikey, after.shortened);
        let added = after.keys.into_iter().filter(|key| before.keys.binary_search(key).is_err()).collect();
        IndexEdit { index, removed, added, multikey, shortened }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// What changing a document from `before` to `after` does to the indexes of its collection.
///
/// # Errors
/// `BadDocument` when an index cannot hold the new document.
pub(crate) fn edits(
    indexes: &[Index],
    record: RecordId,
    before: Option<&Document>,
    after: Option<&Document>,
) -> Result<Vec<IndexEdit>, Error> {
    let mut edits = Vec::new();
    for index in indexes.iter().filter(|index| !matches!(index.phase, Phase::Failed(_))) {
        let after = match after {
            Some(document) => index.spec.entries(document.root(), record)?,
            None => Entries::default(),
        };
        // What cannot be indexed now was not when it was written: the index is younger.
        let before = before.and_then(|document| index.spec.entries(document.root(), record).ok()).unwrap_or_default();
        let edit = IndexEdit::between(index.id, before, after);
        // An array of one element has the keys of that element alone, but it is an array.
        let new_array = edit.multikey & !index.multikey != 0;
        if !edit.is_empty() || new_array || (edit.shortened && !index.shortened) {
            edits.push(edit);
        }
    }
    Ok(edits)
}

/// Changes collected for an index that is being built: what became of a key last.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// True: the key is there.
    pub(crate) keys: BTreeMap<Vec<u8>, bool>,
    pub(crate) multikey: u32,
    pub(crate) shortened: bool,
    /// The build has begun: what was written before it is in what it reads.
    pub(crate) collecting: bool,
    /// Units that were taken back may be among the changes: the build has to begin again.
    pub(crate) tainted: bool,
}
