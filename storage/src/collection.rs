//! Collections: what is known of one at one moment, and how all of them are written into a checkpoint.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::Error;
use crate::index::{PageId, Pager, Tree};
use crate::lsn::Lsn;

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 120;

/// Names a collection inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionId(pub u32);

/// What changes when documents do.
#[derive(Debug, Clone)]
pub(crate) struct CollectionState {
    pub(crate) meta: Arc<CollectionMeta>,
    pub(crate) count: u64,
    pub(crate) size: u64,
    pub(crate) next_record: u64,
    pub(crate) changed_lsn: Lsn,
    pub(crate) id_index: Tree,
}

/// What rarely changes.
#[derive(Debug, Clone)]
pub(crate) struct CollectionMeta {
    pub(crate) id: u32,
    pub(crate) db: u8,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) options: String,
}

impl CollectionState {
    /// An empty collection.
    pub(crate) fn new(meta: CollectionMeta, pager: &Pager) -> CollectionState {
        CollectionState {
            meta: Arc::new(meta),
            count: 0,
            size: 0,
            next_record: 1,
            changed_lsn: 0,
            id_index: Tree::new(pager),
        }
    }
}

/// A collection as one moment sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CollectionHandle(pub(crate) Arc<CollectionState>);

impl CollectionHandle {
    /// Its number; never used again after a drop.
    pub fn id(&self) -> CollectionId {
        CollectionId(self.0.meta.id)
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.meta.name
    }
    /// Documents.
    pub fn count(&self) -> u64 {
        self.0.count
    }
    /// Bytes of the stored bodies, before sealing.
    pub fn size(&self) -> u64 {
        self.0.size
    }
    /// Bytes that its documents take in the engine: the stored bodies with what sealing adds to each.
    pub fn stored_size(&self) -> u64 {
        self.0.size + self.0.count * crate::shared::RECORD_OVERHEAD_BYTES as u64
    }
    /// When it was made, milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.0.meta.created_ms
    }
    /// The LSN of its last change.
    pub fn changed_lsn(&self) -> Lsn {
        self.0.changed_lsn
    }
    /// The options given when it was made, as JSON text (`{}` when none).
    pub fn options(&self) -> &str {
        &self.0.meta.options
    }
}

/// Checks a collection's name: 1-120 bytes, no control characters, not starting with `_`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::BadCollectionName(format!("bad collection name: {why}")));
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refuse(&format!("it has {} bytes, 1 to {NAME_BYTES_MAX} are allowed", name.len()));
    }
    if name.starts_with('_') {
        return refuse("names that start with _ are the server's own");
    }
    if name.chars().any(char::is_control) {
        return refuse("control characters are not allowed");
    }
    Ok(())
}

/// A checkpoint's record of everything that is not a document or a page. Kept as sealed JSON under one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Of this record.
    pub(crate) format: u32,
    /// Every unit up to this one is contained.
    pub(crate) lsn: Lsn,
    pub(crate) next_page: PageId,
    pub(crate) next_collection: u32,
    pub(crate) collections: Vec<CollectionRecord>,
    /// Dropped collections whose documents may still be in the engine.
    pub(crate) reclaim: Vec<u32>,
    /// Pages that no tree has and that are still in the engine.
    pub(crate) freed_pages: Vec<PageId>,
}

/// The format that this build reads and writes.
pub(crate) const CHECKPOINT_FORMAT: u32 = 1;

/// One collection in a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CollectionRecord {
    pub(crate) id: u32,
    pub(crate) db: u8,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) options: String,
    pub(crate) count: u64,
    pub(crate) size: u64,
    pub(crate) next_record: u64,
    pub(crate) changed_lsn: Lsn,
    pub(crate) id_index_root: PageId,
}

impl CollectionRecord {
    pub(crate) fn of(state: &CollectionState) -> CollectionRecord {
        CollectionRecord {
            id: state.meta.id,
            db: state.meta.db,
            name: state.meta.name.clone(),
            created_ms: state.meta.created_ms,
            options: state.meta.options.clone(),
            count: state.count,
            size: state.size,
            next_record: state.next_record,
            changed_lsn: state.changed_lsn,
            id_index_root: state.id_index.root_page(),
        }
    }

    pub(crate) fn open(self, pager: &Pager) -> CollectionState {
        let id_index = Tree::open(self.id_index_root, pager);
        let meta = CollectionMeta {
            id: self.id,
            db: self.db,
            name: self.name,
            created_ms: self.created_ms,
            options: self.options,
        };
        CollectionState {
            meta: Arc::new(meta),
            count: self.count,
            size: self.size,
            next_record: self.next_record,
            changed_lsn: self.changed_lsn,
            id_index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names() {
        for good in ["a", "users", "ü b/c", &"x".repeat(120)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "_system", "a\nb", "a\0", &"x".repeat(121)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
