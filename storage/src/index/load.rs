//! Making a tree of keys that come in order: pages are filled one after the other and go to the engine as they are full.

use bytes::Bytes;
use std::sync::Arc;

use super::ids::ReservedIds;
use super::node::{INNER_BYTES_MAX, INNER_CHILDREN_MIN, Inner, LEAF_BYTES_MAX, Leaf, Node, Slot};
use super::page;
use super::pager::{PageId, Pager, page_key};
use super::tree::{Tree, shortest_between};
use crate::Error;
use crate::kv::{Engine, Entry, Space};

/// Leaves are left a little room, so that the first inserts do not split every one of them.
const LEAF_BYTES_FILLED: usize = LEAF_BYTES_MAX / 16 * 15;
/// Pages are handed to the engine in batches of about this size.
const BATCH_BYTES: usize = 8 << 20;

/// Takes keys in ascending order.
pub(crate) struct Loader<'a> {
    pager: &'a Pager,
    engine: &'a dyn Engine,
    ids: &'a ReservedIds,
    leaf: Leaf,
    /// What separates the leaf from the one before it.
    before_leaf: Vec<u8>,
    /// From the leaves' parents up.
    levels: Vec<Level>,
    batch: Vec<(PageId, Vec<u8>)>,
    batch_bytes: usize,
}

/// The node of a level that is being filled, and what separates it from the one before it.
#[derive(Default)]
struct Level {
    node: Inner,
    before: Vec<u8>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(pager: &'a Pager, engine: &'a dyn Engine, ids: &'a ReservedIds) -> Loader<'a> {
        Loader {
            pager,
            engine,
            ids,
            leaf: Leaf::default(),
            before_leaf: Vec::new(),
            levels: Vec::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Adds a key, which is greater than the one before.
    pub(crate) fn push(&mut self, key: &[u8], value: u64) -> Result<(), Error> {
        let size = self.leaf.keys.size() + 8 * self.leaf.values.len() + key.len() + 12;
        if size > LEAF_BYTES_FILLED && !self.leaf.values.is_empty() {
            let last = self.leaf.keys.get(self.leaf.values.len() - 1);
            let separator = shortest_between(last, key);
            self.finish_leaf()?;
            self.before_leaf = separator;
        }
        self.leaf.keys.push(key);
        self.leaf.values.push(value);
        Ok(())
    }

    fn finish_leaf(&mut self) -> Result<(), Error> {
        let leaf = std::mem::take(&mut self.leaf);
        let entries = leaf.values.len() as u64;
        let slot = self.store(&Node::Leaf(leaf))?;
        let before = std::mem::take(&mut self.before_leaf);
        self.add_child(before, slot, entries)
    }

    /// Hands a node to the engine, where alone it stays.
    fn store(&mut self, node: &Node) -> Result<Arc<Slot>, Error> {
        let id = self.ids.next(self.pager);
        let plain = page::encode(node);
        self.batch_bytes += plain.len();
        self.batch.push((id, plain));
        if self.batch_bytes > BATCH_BYTES {
            self.flush()?;
        }
        Ok(Arc::new(Slot::unloaded(id, &self.pager.resident_bytes)))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.batch_bytes = 0;
        let pager = self.pager;
        // Sealed as the engine takes them, see `Engine::ingest`.
        let entry = |(id, plain): (PageId, Vec<u8>)| -> Entry {
            (Bytes::copy_from_slice(&page_key(id)), Some(pager.seal_page(id, &plain).into()))
        };
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { self.engine.ingest(Space::Pages, &mut batch.into_iter().map(entry)) }
    }

    /// Adds a finished node to the level above it. A level that is full is finished first, and so on upwards.
    fn add_child(&mut self, before: Vec<u8>, child: Arc<Slot>, entries: u64) -> Result<(), Error> {
        let mut at = 0;
        let (mut before, mut child, mut entries) = (before, child, entries);
        loop {
            if self.levels.len() == at {
                self.levels.push(Level::default());
            }
            let Some(level) = self.levels.get_mut(at) else { return Ok(()) };
            let size = level.node.separators.size() + 16 * level.node.children.len() + before.len();
            let full = size > INNER_BYTES_MAX && level.node.children.len() >= INNER_CHILDREN_MIN;
            if !full {
                if level.node.children.is_empty() {
                    level.before = before;
                } else {
                    level.node.separators.push(&before);
                }
                level.node.children.push(child);
                level.node.counts.push(entries);
                return Ok(());
            }
            let finished = std::mem::take(level);
            level.before = before;
            level.node.children.push(child);
            level.node.counts.push(entries);
            (before, entries) = (finished.before, finished.node.counts.iter().sum());
            child = self.store(&Node::Inner(finished.node))?;
            at += 1;
        }
    }

    /// Ends the tree. All its pages are in the engine.
    pub(crate) fn finish(mut self) -> Result<Tree, Error> {
        if !self.leaf.values.is_empty() || self.levels.is_empty() {
            self.finish_leaf()?;
        }
        let mut at = 0;
        let root = loop {
            let above = self.levels.len() > at + 1;
            let Some(level) = self.levels.get_mut(at).map(std::mem::take) else {
                return Err(Error::Engine("a tree without a root".into()));
            };
            if !above && let [only] = level.node.children.as_slice() {
                break Arc::clone(only);
            }
            let entries = level.node.counts.iter().sum();
            let slot = self.store(&Node::Inner(level.node))?;
            at += 1;
            if self.levels.len() == at {
                break slot;
            }
            let Some(parent) = self.levels.get_mut(at) else { break slot };
            if !parent.node.children.is_empty() {
                parent.node.separators.push(&level.before);
            }
            parent.node.children.push(slot);
            parent.node.counts.push(entries);
        };
        self.flush()?;
        Ok(Tree::of(root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn loaded_trees_are_as_if_inserted() {
        let (_dir, engine, sealer) = testing::engine();
        let pager = Pager::new(Arc::clone(&engine), sealer, 100_000);
        for (count, width) in [(0, 8), (1, 8), (300, 8), (50_000, 8), (2_000, 3000)] {
            let ids = ReservedIds::default();
            let mut loader = Loader::new(&pager, &*engine, &ids);
            for n in 0..count {
                loader.push(format!("{:0w$}", 2 * n, w = width).as_bytes(), n).unwrap();
            }
            let tree = loader.finish().unwrap();
            assert_eq!(tree.entries(&pager).unwrap(), count);
            let mut cursor = tree.cursor(&pager);
            cursor.seek(b"").unwrap();
            for n in 0..count {
                let key = format!("{:0w$}", 2 * n, w = width).into_bytes();
                assert_eq!(cursor.entry(), Some((key.as_slice(), n)));
                cursor.forward().unwrap();
            }
            assert_eq!(cursor.entry(), None);
            for n in (0..count).step_by(37) {
                let key = format!("{:0w$}", 2 * n + 1, w = width).into_bytes();
                assert_eq!(tree.get(&pager, &key).unwrap(), None);
                assert_eq!(tree.rank(&pager, &key).unwrap(), n + 1);
            }
        }
    }
}
