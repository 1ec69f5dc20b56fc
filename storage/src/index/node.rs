//! The nodes of a tree, and the slots that hold them.

use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::keys::Keys;
use super::pager::PageId;

/// A leaf over this splits.
pub(super) const LEAF_BYTES_MAX: usize = 4096;
/// An inner node over this splits.
pub(super) const INNER_BYTES_MAX: usize = 8192;
/// An inner node has at least this many children before its size may split it: the tree's height stays bounded
/// whatever the keys' lengths.
pub(super) const INNER_CHILDREN_MIN: usize = 4;

/// One node. Cloned when it is copied on write.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

/// Keys with their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    pub(super) keys: Keys,
    pub(super) values: Vec<u64>,
}

/// Children with the keys that separate them and the number of entries below each.
#[derive(Debug, Clone, Default)]
pub(super) struct Inner {
    /// `separators[i]` is greater than every key under child i and not greater than any under child i + 1.
    pub(super) separators: Keys,
    pub(super) children: Vec<Arc<Slot>>,
    pub(super) counts: Vec<u64>,
}

impl Inner {
    /// Under which child a key is.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        match self.separators.search(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }
}

impl Node {
    /// Lets go of the nodes below that are held for this one alone; how many they were. As deep as the tree at most.
    pub(super) fn let_go_below(&self) -> u64 {
        let Node::Inner(inner) = self else { return 0 };
        let mut count = 0;
        for child in inner.children.iter().filter(|child| child.is_clean() && Arc::strong_count(child) == 1) {
            if let Some(node) = child.node.swap(None) {
                child.account(0);
                count += 1 + node.let_go_below();
            }
        }
        count
    }

    /// Bytes it takes, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.keys.size() + 8 * leaf.values.len(),
            Node::Inner(inner) => inner.separators.size() + 16 * inner.children.len(),
        }
    }

    /// Entries in or below it.
    pub(super) fn entries(&self) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.values.len() as u64,
            Node::Inner(inner) => inner.counts.iter().sum(),
        }
    }
}

/// A place in the tree: a page id and, while it is in memory, the node. Shared by all versions of the tree that have
/// this page.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: PageId,
    /// Loading it touches no counter that threads share: every lookup of every thread passes the upper nodes.
    pub(super) node: ArcSwapOption<Node>,
    /// The page is in the engine as it is here. Set once; a clean page is never edited.
    pub(super) clean: AtomicBool,
    /// Touched since the clock hand last passed.
    pub(super) touched: AtomicBool,
    resident_bytes: Arc<AtomicUsize>,
    own_bytes: AtomicUsize,
}

impl Slot {
    /// A page that only memory has.
    pub(super) fn dirty(id: PageId, node: Node, resident_bytes: &Arc<AtomicUsize>) -> Slot {
        let slot = Slot::unloaded(id, resident_bytes);
        slot.clean.store(false, Ordering::Relaxed);
        slot.account(node.size());
        slot.node.store(Some(Arc::new(node)));
        slot
    }

    /// A page that only the engine has.
    pub(super) fn unloaded(id: PageId, resident_bytes: &Arc<AtomicUsize>) -> Slot {
        Slot {
            id,
            node: ArcSwapOption::empty(),
            clean: AtomicBool::new(true),
            touched: AtomicBool::new(true),
            resident_bytes: Arc::clone(resident_bytes),
            own_bytes: AtomicUsize::new(0),
        }
    }

    /// Notes that the node now takes this many bytes (0: it left memory).
    pub(super) fn account(&self, bytes: usize) {
        let before = self.own_bytes.swap(bytes, Ordering::Relaxed);
        if bytes >= before {
            self.resident_bytes.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            self.resident_bytes.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }

    /// Bytes of the node while it is in memory.
    pub(super) fn bytes(&self) -> usize {
        self.own_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.clean.load(Ordering::Acquire)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.account(0);
    }
}
