//! Reading a collection's indexes: lookups, counts and cursors over one version of them.

use crate::Error;
use crate::collection::CollectionHandle;
use crate::index::{Cursor, Entry, Index, Pager};
use crate::record_id::RecordId;

/// The way to the pages of indexes. What is read is the version of the handle that is given.
#[derive(Debug, Clone, Copy)]
pub struct Trees<'p> {
    pager: &'p Pager,
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
    pub(crate) fn new(pager: &'p Pager) -> Trees<'p> {
        Trees { pager }
    }

    /// The record of an id, which is given as its text.
    pub fn find_id(&self, collection: &CollectionHandle, id: &[u8]) -> Result<Option<RecordId>, Error> {
        Ok(collection.0.id_index.get(self.pager, id)?.map(RecordId))
    }

    /// How many entries of an index are in a range. Looks at a handful of pages, however many there are.
    pub fn count(&self, index: &Index, range: &KeyRange) -> Result<u64, Error> {
        index.tree.count(self.pager, &range.from, range.to.as_deref())
    }

    /// How many entries an index has.
    pub fn entries(&self, index: &Index) -> Result<u64, Error> {
        index.tree.entries(self.pager)
    }

    /// Bytes of an index's pages (large indexes are sampled).
    pub fn size(&self, index: &Index) -> Result<u64, Error> {
        Ok(index.tree.measure(self.pager)?.bytes)
    }

    /// The entries of an index in a range, in its order or against it.
    pub fn walk(&self, index: &Index, range: &KeyRange, reverse: bool) -> Result<Walk<'p>, Error> {
        let mut cursor = index.tree.cursor(self.pager);
        if reverse {
            cursor.seek_before(range.to.as_deref())?;
        } else {
            cursor.seek(&range.from)?;
        }
        Ok(Walk { cursor, range: range.clone(), reverse })
    }

    /// The ids of a collection with their records, in order of the ids' texts.
    pub fn walk_ids(&self, collection: &CollectionHandle) -> Result<Walk<'p>, Error> {
        let mut cursor = collection.0.id_index.cursor(self.pager);
        cursor.seek(&[])?;
        Ok(Walk { cursor, range: KeyRange::full(), reverse: false })
    }

    /// Whether an index has exactly this entry.
    pub(crate) fn has(&self, index: &Index, key: &[u8], record: RecordId) -> Result<bool, Error> {
        Ok(index.tree.get(self.pager, key)? == Some(record.0))
    }
}

/// A walk over entries. Not an iterator: an entry is borrowed from the page it is on.
pub struct Walk<'p> {
    cursor: Cursor<'p>,
    range: KeyRange,
    reverse: bool,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("reverse", &self.reverse).finish_non_exhaustive()
    }
}

impl Walk<'_> {
    /// The key and record it stands at; none at the end of the range.
    pub fn raw(&self) -> Option<(&[u8], RecordId)> {
        let (key, record) = self.cursor.entry()?;
        let inside = if self.reverse {
            key >= self.range.from.as_slice()
        } else {
            self.range.to.as_ref().is_none_or(|to| key < to.as_slice())
        };
        inside.then_some((key, RecordId(record)))
    }

    /// The entry it stands at; none at the end of the range.
    pub fn entry(&self) -> Option<Entry<'_>> {
        Entry::of(self.raw()?.0)
    }

    /// Goes on by one entry.
    pub fn advance(&mut self) -> Result<(), Error> {
        if self.reverse { self.cursor.back() } else { self.cursor.forward() }
    }
}
