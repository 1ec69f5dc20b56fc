//! Pages between memory and the engine: loading on first touch, evicting under the budget, page ids.

use arc_swap::Guard;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::ids::ReservedIds;
use super::node::{Node, Slot};
use super::page;
use crate::Error;
use crate::kv::{Engine, Space};
use crate::lsn::Lsn;
use crate::seal::{Purpose, Sealer};

/// Names a page in the engine. Ascending, never used twice.
pub(crate) type PageId = u64;

/// Loads and evicts the pages of all trees of a store.
#[derive(Debug)]
pub(crate) struct Pager {
    engine: Arc<dyn Engine>,
    sealer: Sealer,
    next_id: AtomicU64,
    pub(super) resident_bytes: Arc<AtomicUsize>,
    budget_bytes: AtomicUsize,
    /// Clean pages in memory, in the order in which the clock hand meets them.
    clock: Mutex<VecDeque<Weak<Slot>>>,
    loads: AtomicU64,
    evictions: AtomicU64,
}

/// A node that stays as it is while this is held, whatever happens to its slot.
pub(super) enum NodeRef {
    Found(Guard<Option<Arc<Node>>>),
    Loaded(Arc<Node>),
}

impl std::ops::Deref for NodeRef {
    type Target = Node;

    fn deref(&self) -> &Node {
        match self {
            NodeRef::Found(guard) => guard.as_ref().expect("Pager::node makes it of a guard that holds a node"),
            NodeRef::Loaded(node) => node,
        }
    }
}

/// What an edit leaves behind for the checkpoint.
#[derive(Debug)]
pub(crate) struct Edit<'a> {
    pub(crate) pager: &'a Pager,
    /// Pages that the tree no longer has.
    pub(crate) freed: &'a mut Vec<Freed>,
    pub(crate) lsn: Lsn,
    /// Where new pages get their ids, if not from the pager: the tree is not in any state yet.
    pub(crate) reserved: Option<&'a ReservedIds>,
    /// Bytes of pages made since the last checkpoint, about.
    pub(crate) dirty_bytes: &'a mut usize,
}

/// A page that a tree no longer has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freed {
    pub(crate) page: PageId,
    /// The unit that replaced it.
    pub(crate) lsn: Lsn,
    /// Whether the engine had it already then.
    pub(crate) stored: bool,
}

/// The key of a page in the engine.
pub(crate) fn page_key(id: PageId) -> [u8; 8] {
    id.to_be_bytes()
}

impl Pager {
    pub(crate) fn new(engine: Arc<dyn Engine>, sealer: Sealer, budget_bytes: usize) -> Pager {
        Pager {
            engine,
            sealer,
            next_id: AtomicU64::new(1),
            resident_bytes: Arc::new(AtomicUsize::new(0)),
            budget_bytes: AtomicUsize::new(budget_bytes),
            clock: Mutex::new(VecDeque::new()),
            loads: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// The id that the next new page gets: every page made so far is below it.
    pub(crate) fn watermark(&self) -> PageId {
        self.next_id.load(Ordering::Relaxed)
    }

    pub(crate) fn set_watermark(&self, id: PageId) {
        self.next_id.store(id, Ordering::Relaxed);
    }

    pub(super) fn new_id(&self) -> PageId {
        self.new_ids(1).start
    }

    /// So many new ids, one after the other.
    pub(super) fn new_ids(&self, count: u64) -> std::ops::Range<PageId> {
        let first = self.next_id.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.resident_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn budget_bytes(&self) -> usize {
        self.budget_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_budget_bytes(&self, bytes: usize) {
        self.budget_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Pages read from the engine, and pages dropped from memory, since the store was opened.
    pub(crate) fn counters(&self) -> (u64, u64) {
        (self.loads.load(Ordering::Relaxed), self.evictions.load(Ordering::Relaxed))
    }

    /// The node of a slot, from memory or from the engine.
    pub(super) fn node(&self, slot: &Arc<Slot>) -> Result<NodeRef, Error> {
        let node = slot.node.load();
        if node.is_some() {
            if !slot.touched.load(Ordering::Relaxed) {
                slot.touched.store(true, Ordering::Relaxed);
            }
            return Ok(NodeRef::Found(node));
        }
        drop(node);
        // Two readers may load a page at once; they get equal nodes, and the second replaces the first.
        let node = Arc::new(self.read(slot.id)?);
        let size = node.size();
        slot.node.store(Some(Arc::clone(&node)));
        slot.account(size);
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.register(slot);
        self.evict();
        Ok(NodeRef::Loaded(node))
    }

    /// The same, to be kept for longer than a step down a tree.
    pub(super) fn load(&self, slot: &Arc<Slot>) -> Result<Arc<Node>, Error> {
        Ok(match self.node(slot)? {
            NodeRef::Found(guard) => {
                Arc::clone(guard.as_ref().expect("Pager::node makes it of a guard that holds a node"))
            }
            NodeRef::Loaded(node) => node,
        })
    }

    fn read(&self, id: PageId) -> Result<Node, Error> {
        let key = page_key(id);
        let missing =
            |what: &str| Error::Damaged { path: "kv".into(), at: format!("index page {id}"), what: what.to_owned() };
        // Held from before the reading: a rotation may be completed between the two.
        let keys = self.sealer.held();
        let sealed = self.engine.get(Space::Pages, &key)?.ok_or_else(|| missing("the page is not there"))?;
        let bytes = keys.open(Purpose::Pages, &key, &sealed)?;
        page::decode(&bytes, &self.resident_bytes).ok_or_else(|| missing("not an index page"))
    }

    /// The page of a node, sealed for its place.
    pub(super) fn seal(&self, id: PageId, node: &Node) -> Vec<u8> {
        self.seal_page(id, &page::encode(node))
    }

    /// The same, of a page's bytes.
    pub(super) fn seal_page(&self, id: PageId, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        self.sealer.seal(Purpose::Pages, &page_key(id), plain, &mut sealed);
        sealed
    }

    /// Makes a clean page known to the clock.
    pub(super) fn register(&self, slot: &Arc<Slot>) {
        self.clock.lock().push_back(Arc::downgrade(slot));
    }

    /// Drops pages that were not touched lately until memory is inside the budget. Dirty pages stay: the committer
    /// starts a checkpoint before they could fill the budget.
    pub(crate) fn evict(&self) {
        if self.resident_bytes() <= self.budget_bytes() {
            return;
        }
        // Somebody else is at it already.
        let Some(mut clock) = self.clock.try_lock() else { return };
        // Twice around: once to clear the marks, once to drop.
        let mut steps = 2 * clock.len();
        while steps > 0 && self.resident_bytes() > self.budget_bytes() {
            steps -= 1;
            let Some(weak) = clock.pop_front() else { break };
            let Some(slot) = weak.upgrade() else { continue };
            if slot.touched.swap(false, Ordering::Relaxed) {
                clock.push_back(weak);
            } else {
                // An inner node takes its children's slots with it, and what they hold; they come back with it from the engine.
                let dropped = slot.node.swap(None);
                slot.account(0);
                let below = dropped.map_or(0, |node| node.let_go_below());
                self.evictions.fetch_add(1 + below, Ordering::Relaxed);
            }
        }
    }
}
