//! Reading a collection's indexes: lookups, counts and cursors over one version of them.

use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::Error;
use crate::collection::CollectionHandle;
use crate::index::{Cursor, Entry, Index, Pager, Recent};
use crate::lsn::Lsn;
use crate::record_id::RecordId;

/// The way to the pages of indexes. What is read is the version of the handle that is given.
#[derive(Debug, Clone, Copy)]
pub struct Trees<'p> {
    pager: &'p Pager,
    /// The moment that is seen of what changed since the last checkpoint.
    lsn: Lsn,
}

/// A half-open range of entries' keys; no end is the end of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be inside.
    pub from: Vec<u8>,
    /// The first key after it.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// Everything.
    pub fn full() -> KeyRange {
        KeyRange { from: Vec::new(), to: None }
    }
}

impl<'p> Trees<'p> {
    pub(crate) fn new(pager: &'p Pager, lsn: Lsn) -> Trees<'p> {
        Trees { pager, lsn }
    }

    /// The record of an id, which is given as its text.
    pub fn find_id(&self, collection: &CollectionHandle, id: &[u8]) -> Result<Option<RecordId>, Error> {
        Ok(collection.0.id_index.get(self.pager, id)?.map(RecordId))
    }

    /// How many entries of an index are in a range. Looks at a handful of pages, however many there are.
    pub fn count(&self, index: &Index, range: &KeyRange) -> Result<u64, Error> {
        let stored = index.tree.count(self.pager, &range.from, range.to.as_deref())?;
        let changed = |recent: &Arc<Recent>| recent.net(&range.from, range.to.as_deref(), self.lsn);
        let net = changed(&index.recent) + index.frozen.as_ref().map_or(0, changed);
        Ok(stored.saturating_add_signed(net))
    }

    /// How many entries an index has.
    pub fn entries(&self, index: &Index) -> Result<u64, Error> {
        self.count(index, &KeyRange::full())
    }

    /// Bytes of an index: its pages (large indexes are sampled) and what changed since the last checkpoint.
    pub fn size(&self, index: &Index) -> Result<u64, Error> {
        let recent = index.recent.bytes() + index.frozen.as_ref().map_or(0, |frozen| frozen.bytes());
        Ok(index.tree.measure(self.pager)?.bytes + recent as u64)
    }

    /// The entries of an index in a range, in its order or against it.
    pub fn walk(&self, index: &Index, range: &KeyRange, reverse: bool) -> Result<Walk<'p>, Error> {
        let mut stored = index.tree.cursor(self.pager);
        if reverse {
            stored.seek_before(range.to.as_deref())?;
        } else {
            stored.seek(&range.from)?;
        }
        let changed = |recent: &Arc<Recent>| Changed::new(Arc::clone(recent), range, self.lsn, reverse);
        // The newer one first: it has the last word.
        let tables = std::iter::once(&index.recent).chain(&index.frozen).filter(|recent| !recent.is_empty());
        let mut walk =
            Walk { stored, changed: tables.map(changed).collect(), range: range.clone(), reverse, at: At::End };
        walk.settle()?;
        Ok(walk)
    }

    /// The ids of a collection with their records, in order of the ids' texts.
    pub fn walk_ids(&self, collection: &CollectionHandle) -> Result<Walk<'p>, Error> {
        let mut stored = collection.0.id_index.cursor(self.pager);
        stored.seek(&[])?;
        let mut walk = Walk { stored, changed: SmallVec::new(), range: KeyRange::full(), reverse: false, at: At::End };
        walk.settle()?;
        Ok(walk)
    }

    /// Whether an index has exactly this entry.
    pub(crate) fn has(&self, index: &Index, key: &[u8]) -> Result<bool, Error> {
        index.has(self.pager, key, self.lsn)
    }
}

/// Changed entries taken from a table at a time.
const CHUNK: usize = 64;

/// The changed entries of one table in a range, in the direction of the walk.
struct Changed {
    table: Arc<Recent>,
    lsn: Lsn,
    range: KeyRange,
    reverse: bool,
    chunk: VecDeque<(Box<[u8]>, bool)>,
    /// Nothing comes after the chunk.
    last: bool,
}

impl Changed {
    fn new(table: Arc<Recent>, range: &KeyRange, lsn: Lsn, reverse: bool) -> Changed {
        let chunk = VecDeque::new();
        let mut changed = Changed { table, lsn, range: range.clone(), reverse, chunk, last: false };
        changed.refill();
        changed
    }

    fn refill(&mut self) {
        let (from, to) = (self.range.from.as_slice(), self.range.to.as_deref());
        let chunk = if self.reverse {
            self.table.before(from, to, self.lsn, CHUNK)
        } else {
            self.table.after(from, to, self.lsn, CHUNK)
        };
        self.last = chunk.len() < CHUNK;
        self.chunk = chunk.into();
    }

    fn head(&self) -> Option<&(Box<[u8]>, bool)> {
        self.chunk.front()
    }

    fn pop(&mut self) {
        let Some((key, _)) = self.chunk.pop_front() else { return };
        if self.chunk.is_empty() && !self.last {
            if self.reverse {
                self.range.to = Some(key.into());
            } else {
                // The next key that there can be.
                self.range.from = [&*key, &[0]].concat();
            }
            self.refill();
        }
    }
}

/// Where a [`Walk`] stands.
enum At {
    End,
    /// At the entry of the tree.
    Stored,
    /// At the head of this table.
    Changed(usize),
}

/// A walk over entries: those of the tree, and over them what changed since. Not an iterator: an entry is borrowed from
/// where it is.
pub struct Walk<'p> {
    stored: Cursor<'p>,
    changed: SmallVec<[Changed; 2]>,
    range: KeyRange,
    reverse: bool,
    at: At,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("reverse", &self.reverse).finish_non_exhaustive()
    }
}

impl Walk<'_> {
    /// The tree's entry, while it is inside the range.
    fn stored(&self) -> Option<(&[u8], u64)> {
        let (key, record) = self.stored.entry()?;
        let inside = if self.reverse {
            key >= self.range.from.as_slice()
        } else {
            self.range.to.as_ref().is_none_or(|to| key < to.as_slice())
        };
        inside.then_some((key, record))
    }

    fn step_stored(&mut self) -> Result<(), Error> {
        if self.reverse { self.stored.back() } else { self.stored.forward() }
    }

    /// Goes on to the next entry that is there, from where all heads stand.
    fn settle(&mut self) -> Result<(), Error> {
        if self.changed.is_empty() {
            self.at = if self.stored().is_some() { At::Stored } else { At::End };
            return Ok(());
        }
        loop {
            // The first of the heads; among equal ones the newest, which stands first.
            let mut first: Option<(usize, bool)> = None;
            for (at, changed) in self.changed.iter().enumerate() {
                let Some((key, there)) = changed.head() else { continue };
                let best = first.and_then(|(best, _)| self.changed.get(best)).and_then(Changed::head);
                if best.is_none_or(|(best, _)| self.precedes(key, best)) {
                    first = Some((at, *there));
                }
            }
            let Some((at, there)) = first else {
                self.at = if self.stored().is_some() { At::Stored } else { At::End };
                return Ok(());
            };
            let head = self.changed.get(at).and_then(Changed::head).map_or(&[][..], |(key, _)| key);
            let stored = self.stored().map(|(key, _)| key);
            if stored.is_some_and(|stored| self.precedes(stored, head)) {
                self.at = At::Stored;
                return Ok(());
            }
            if there {
                self.at = At::Changed(at);
                return Ok(());
            }
            self.pass(at)?;
        }
    }

    fn precedes(&self, a: &[u8], b: &[u8]) -> bool {
        if self.reverse { a > b } else { a < b }
    }

    /// Steps over the head of this table, wherever it stands.
    fn pass(&mut self, at: usize) -> Result<(), Error> {
        let Some(key) = self.changed.get(at).and_then(Changed::head).map(|(key, _)| key.clone()) else { return Ok(()) };
        if self.stored().is_some_and(|(stored, _)| stored == &*key) {
            self.step_stored()?;
        }
        for changed in &mut self.changed {
            if changed.head().is_some_and(|(head, _)| *head == key) {
                changed.pop();
            }
        }
        Ok(())
    }

    /// The key it stands at; none at the end of the range.
    pub fn key(&self) -> Option<&[u8]> {
        match self.at {
            At::End => None,
            At::Stored => self.stored().map(|(key, _)| key),
            At::Changed(at) => self.changed.get(at)?.head().map(|(key, _)| &**key),
        }
    }

    /// The entry it stands at; none at the end of the range.
    pub fn entry(&self) -> Option<Entry<'_>> {
        Entry::of(self.key()?)
    }

    /// Goes on by one entry.
    pub fn advance(&mut self) -> Result<(), Error> {
        match self.at {
            At::End => return Ok(()),
            At::Stored => self.step_stored()?,
            At::Changed(at) => self.pass(at)?,
        }
        self.settle()
    }
}
