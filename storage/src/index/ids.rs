//! Page ids of trees that no state has yet.
//!
//! A builder writes pages long before a state, and so a checkpoint, refers to them. A checkpoint written meanwhile has to
//! say that they are nobody's, or a crash would leave them in the engine for ever.
//!
//! Invariant: an id is known here before a checkpoint's watermark can be above it.

use parking_lot::Mutex;
use std::ops::Range;

use super::pager::{PageId, Pager};

/// Ids are taken from the pager in blocks of this many.
const BLOCK: u64 = 1024;

/// Ids reserved for one tree.
#[derive(Debug, Default)]
pub(crate) struct ReservedIds(Mutex<Reserved>);

#[derive(Debug, Default)]
struct Reserved {
    blocks: Vec<Range<PageId>>,
    next: PageId,
    end: PageId,
}

impl ReservedIds {
    /// The next id, greater than those before.
    pub(crate) fn next(&self, pager: &Pager) -> PageId {
        let mut reserved = self.0.lock();
        if reserved.next == reserved.end {
            // Under the lock, so that whoever saw the pager's watermark above the block finds the block here.
            let block = pager.new_ids(BLOCK);
            (reserved.next, reserved.end) = (block.start, block.end);
            reserved.blocks.push(block);
        }
        let id = reserved.next;
        reserved.next += 1;
        id
    }

    /// All of them so far.
    pub(crate) fn all(&self) -> Vec<PageId> {
        self.0.lock().blocks.iter().cloned().flatten().collect()
    }

    /// Forgets them: they are somebody's now. Returns what was reserved.
    pub(crate) fn take(&self) -> Vec<PageId> {
        std::mem::take(&mut *self.0.lock()).blocks.into_iter().flatten().collect()
    }
}
