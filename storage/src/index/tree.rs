//! The B+tree: byte keys to record ids, copied on write.
//!
//! Cloning a tree is cloning one `Arc`; the clone is a snapshot. Recursion goes no deeper than the tree is high, and the
//! height is bounded because an inner node has at least four children before it splits.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::node::{INNER_BYTES_MAX, INNER_CHILDREN_MIN, Inner, LEAF_BYTES_MAX, Leaf, Node, Slot};
use super::pager::{Edit, Freed, PageId, Pager, page_key};
use crate::Error;
use crate::kv::Entry;

/// One version of one tree.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: Arc<Slot>,
}

/// A page that only memory has, for a checkpoint to write; [`Tree::mark_clean`] takes it once the engine has it.
pub(crate) struct DirtyPage {
    slot: Arc<Slot>,
    node: Arc<Node>,
}

impl DirtyPage {
    pub(crate) fn id(&self) -> PageId {
        self.slot.id
    }

    /// Its key and sealed bytes.
    pub(crate) fn entry(&self, pager: &Pager) -> Entry {
        let key = Bytes::copy_from_slice(&page_key(self.slot.id));
        (key, Some(pager.seal(self.slot.id, &self.node).into()))
    }
}

/// A node that became two.
struct Split {
    separator: Vec<u8>,
    right: Arc<Slot>,
    right_entries: u64,
}

impl Tree {
    /// An empty tree.
    pub(crate) fn new(pager: &Pager) -> Tree {
        let node = Node::Leaf(Leaf::default());
        Tree { root: Arc::new(Slot::dirty(pager.new_id(), node, &pager.resident_bytes)) }
    }

    /// The tree whose root page is this one.
    pub(crate) fn open(root: PageId, pager: &Pager) -> Tree {
        Tree { root: Arc::new(Slot::unloaded(root, &pager.resident_bytes)) }
    }

    /// The tree under this root.
    pub(super) fn of(root: Arc<Slot>) -> Tree {
        Tree { root }
    }

    pub(super) fn root(&self) -> &Arc<Slot> {
        &self.root
    }

    pub(crate) fn root_page(&self) -> PageId {
        self.root.id
    }

    /// The value of a key.
    pub(crate) fn get(&self, pager: &Pager, key: &[u8]) -> Result<Option<u64>, Error> {
        let mut node = pager.node(&self.root)?;
        loop {
            let child = match &*node {
                Node::Leaf(leaf) => {
                    let at = leaf.keys.search(key).ok();
                    return Ok(at.and_then(|at| leaf.values.get(at)).copied());
                }
                Node::Inner(inner) => match inner.children.get(inner.child_of(key)) {
                    Some(child) => pager.node(child)?,
                    None => return Ok(None),
                },
            };
            node = child;
        }
    }

    /// Whether any key begins so.
    pub(crate) fn has_prefix(&self, pager: &Pager, prefix: &[u8]) -> Result<bool, Error> {
        let mut node = pager.node(&self.root)?;
        loop {
            let child = match &*node {
                Node::Leaf(leaf) => {
                    let (Ok(at) | Err(at)) = leaf.keys.search(prefix);
                    if at < leaf.values.len() {
                        return Ok(leaf.keys.get(at).starts_with(prefix));
                    }
                    break;
                }
                Node::Inner(inner) => match inner.children.get(inner.child_of(prefix)) {
                    Some(child) => pager.node(child)?,
                    None => return Ok(false),
                },
            };
            node = child;
        }
        // The first key that is not less is in another leaf.
        drop(node);
        let mut cursor = self.cursor(pager);
        cursor.seek(prefix)?;
        Ok(cursor.entry().is_some_and(|(key, _)| key.starts_with(prefix)))
    }

    /// Sets the value of a key; returns the one it had.
    pub(crate) fn insert(&mut self, edit: &mut Edit<'_>, key: &[u8], value: u64) -> Result<Option<u64>, Error> {
        let (before, split) = insert_into(&mut self.root, edit, key, value)?;
        if let Some(split) = split {
            let left_entries = edit.pager.node(&self.root)?.entries();
            let mut inner = Inner::default();
            inner.separators.push(&split.separator);
            inner.children = vec![Arc::clone(&self.root), split.right];
            inner.counts = vec![left_entries, split.right_entries];
            self.root = new_slot(edit, Node::Inner(inner));
        }
        Ok(before)
    }

    /// Removes a key; returns the value it had.
    pub(crate) fn remove(&mut self, edit: &mut Edit<'_>, key: &[u8]) -> Result<Option<u64>, Error> {
        let before = remove_from(&mut self.root, edit, key)?;
        self.lower(edit)?;
        Ok(before)
    }

    /// A root with one child is that child. A page that cannot be read stays where it is: what was asked for is done.
    pub(super) fn lower(&mut self, edit: &mut Edit<'_>) -> Result<(), Error> {
        while let Ok(root) = edit.pager.node(&self.root)
            && let Node::Inner(inner) = &*root
            && let [only] = inner.children.as_slice()
        {
            let child = Arc::clone(only);
            free(edit, &self.root);
            self.root = child;
        }
        Ok(())
    }

    /// Adds the pages that only memory has.
    pub(crate) fn dirty(&self, pages: &mut Vec<DirtyPage>) {
        dirty_below(&self.root, pages);
    }

    /// The engine has these pages now: they may leave memory.
    pub(crate) fn mark_clean(pager: &Pager, pages: Vec<DirtyPage>) {
        for page in pages {
            page.slot.clean.store(true, Ordering::Release);
            pager.register(&page.slot);
        }
        pager.evict();
    }

    /// The ids of the pages that the engine has, for reclaiming a dropped tree. Loads the inner pages.
    pub(crate) fn stored_pages(&self, pager: &Pager) -> Result<Vec<PageId>, Error> {
        let mut ids = Vec::new();
        ids.extend(Some(self.root.id).filter(|_| self.root.is_clean()));
        let mut level = vec![Arc::clone(&self.root)];
        while let Some(first) = level.first() {
            if matches!(&*pager.node(first)?, Node::Leaf(_)) {
                break;
            }
            let mut below = Vec::new();
            for slot in &level {
                if let Node::Inner(inner) = &*pager.node(slot)? {
                    below.extend(inner.children.iter().cloned());
                }
            }
            ids.extend(below.iter().filter(|s| s.is_clean()).map(|s| s.id));
            level = below;
        }
        Ok(ids)
    }

    /// Every value, in order of key.
    pub(crate) fn values(&self, pager: &Pager) -> Result<Vec<u64>, Error> {
        let mut values = Vec::new();
        values_below(&self.root, pager, &mut values)?;
        Ok(values)
    }

    /// Pages and bytes of keys and values, by walking what is there.
    pub(crate) fn measure(&self, pager: &Pager) -> Result<TreeSize, Error> {
        let mut size = TreeSize::default();
        measure_below(&self.root, pager, &mut size)?;
        Ok(size)
    }
}

/// How large a tree is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TreeSize {
    pub(crate) entries: u64,
    pub(crate) pages: u64,
    pub(crate) bytes: u64,
}

/// Sizes below inner nodes are estimated from one leaf in sixteen, so that a statistic does not read a whole tree.
const MEASURED_LEAVES: usize = 16;

fn measure_below(slot: &Arc<Slot>, pager: &Pager, size: &mut TreeSize) -> Result<(), Error> {
    let node = pager.node(slot)?;
    size.pages += 1;
    size.bytes += node.size() as u64;
    let Node::Inner(inner) = &*node else {
        size.entries += node.entries();
        return Ok(());
    };
    let leaves_below = match inner.children.first() {
        Some(first) => matches!(&*pager.node(first)?, Node::Leaf(_)),
        None => false,
    };
    if !leaves_below {
        for child in &inner.children {
            measure_below(child, pager, size)?;
        }
        return Ok(());
    }
    let (mut sampled_bytes, mut sampled_entries) = (0, 0);
    for child in inner.children.iter().step_by(MEASURED_LEAVES) {
        let leaf = pager.node(child)?;
        sampled_bytes += leaf.size() as u64;
        sampled_entries += leaf.entries();
    }
    let entries = node.entries();
    size.entries += entries;
    size.pages += inner.children.len() as u64;
    size.bytes += (sampled_bytes * entries).checked_div(sampled_entries).unwrap_or(sampled_bytes);
    Ok(())
}

fn values_below(slot: &Arc<Slot>, pager: &Pager, values: &mut Vec<u64>) -> Result<(), Error> {
    match &*pager.node(slot)? {
        Node::Leaf(leaf) => values.extend_from_slice(&leaf.values),
        Node::Inner(inner) => {
            for child in &inner.children {
                values_below(child, pager, values)?;
            }
        }
    }
    Ok(())
}

pub(super) fn new_slot(edit: &mut Edit<'_>, node: Node) -> Arc<Slot> {
    *edit.dirty_bytes += node.size();
    let id = edit.reserved.map_or_else(|| edit.pager.new_id(), |reserved| reserved.next(edit.pager));
    Arc::new(Slot::dirty(id, node, &edit.pager.resident_bytes))
}

pub(super) fn free(edit: &mut Edit<'_>, slot: &Slot) {
    if !slot.is_clean() {
        // Nobody will write it: only readers of older states still have it.
        *edit.dirty_bytes = edit.dirty_bytes.saturating_sub(slot.bytes());
    }
    edit.freed.push(Freed { page: slot.id, lsn: edit.lsn, stored: slot.is_clean() });
}

/// Runs `change` on the node of a slot that no published tree sees: in place when that is so already, on a copy under a
/// new page id otherwise.
fn change<T>(
    slot: &mut Arc<Slot>,
    edit: &mut Edit<'_>,
    change: impl FnOnce(&mut Node, &mut Edit<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    if Arc::get_mut(slot).is_none_or(|s| s.is_clean()) {
        let node = Node::clone(&*edit.pager.node(slot)?);
        free(edit, slot);
        *slot = new_slot(edit, node);
    }
    let own = Arc::get_mut(slot).expect("made above, or found unshared above; only the committer clones slots");
    let mut node = own.node.swap(None).expect("a dirty page is always in memory");
    let inner = Arc::make_mut(&mut node);
    let before = inner.size();
    let result = change(inner, edit);
    let after = inner.size();
    own.node.store(Some(node));
    let result = result?;
    *edit.dirty_bytes += after.saturating_sub(before);
    own.account(after);
    Ok(result)
}

fn insert_into(
    slot: &mut Arc<Slot>,
    edit: &mut Edit<'_>,
    key: &[u8],
    value: u64,
) -> Result<(Option<u64>, Option<Split>), Error> {
    change(slot, edit, |node, edit| match node {
        Node::Leaf(leaf) => match leaf.keys.search(key) {
            Ok(at) => Ok((leaf.values.get_mut(at).map(|v| std::mem::replace(v, value)), None)),
            Err(at) => {
                leaf.keys.insert(at, key);
                leaf.values.insert(at, value);
                Ok((None, split_leaf(leaf, at, edit)))
            }
        },
        Node::Inner(inner) => {
            let at = inner.child_of(key);
            let Some(child) = inner.children.get_mut(at) else { return Ok((None, None)) };
            let (before, split) = insert_into(child, edit, key, value)?;
            if before.is_none()
                && let Some(count) = inner.counts.get_mut(at)
            {
                *count += 1;
            }
            let Some(split) = split else { return Ok((before, None)) };
            if let Some(count) = inner.counts.get_mut(at) {
                *count -= split.right_entries;
            }
            inner.separators.insert(at, &split.separator);
            inner.children.insert(at + 1, split.right);
            inner.counts.insert(at + 1, split.right_entries);
            Ok((before, split_inner(inner, at + 1, edit)))
        }
    })
}

/// Splits a leaf that has grown too large by an insert at `at`. An insert at the end starts a new leaf, so that
/// ascending keys fill their pages.
fn split_leaf(leaf: &mut Leaf, at: usize, edit: &mut Edit<'_>) -> Option<Split> {
    let entries = leaf.values.len();
    if leaf.keys.size() + 8 * entries <= LEAF_BYTES_MAX || entries < 2 {
        return None;
    }
    let middle = if at + 1 == entries { entries - 1 } else { entries / 2 };
    let right = Leaf { keys: leaf.keys.split_off(middle), values: leaf.values.split_off(middle) };
    let separator = shortest_between(leaf.keys.get(middle - 1), right.keys.get(0));
    let right_entries = right.values.len() as u64;
    Some(Split { separator, right: new_slot(edit, Node::Leaf(right)), right_entries })
}

fn split_inner(inner: &mut Inner, at: usize, edit: &mut Edit<'_>) -> Option<Split> {
    let children = inner.children.len();
    let size = inner.separators.size() + 16 * children;
    if size <= INNER_BYTES_MAX || children < 2 * INNER_CHILDREN_MIN {
        return None;
    }
    let middle = if at + 1 == children { children - INNER_CHILDREN_MIN } else { children / 2 };
    let mut separators = inner.separators.split_off(middle - 1);
    let separator = separators.get(0).to_vec();
    separators.remove(0);
    let right =
        Inner { separators, children: inner.children.split_off(middle), counts: inner.counts.split_off(middle) };
    let right_entries = right.counts.iter().sum();
    Some(Split { separator, right: new_slot(edit, Node::Inner(right)), right_entries })
}

/// The shortest string that is greater than `left` and not greater than `right`.
pub(super) fn shortest_between(left: &[u8], right: &[u8]) -> Vec<u8> {
    let common = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    right.get(..=common).unwrap_or(right).to_vec()
}

fn remove_from(slot: &mut Arc<Slot>, edit: &mut Edit<'_>, key: &[u8]) -> Result<Option<u64>, Error> {
    change(slot, edit, |node, edit| match node {
        Node::Leaf(leaf) => {
            let Ok(at) = leaf.keys.search(key) else { return Ok(None) };
            leaf.keys.remove(at);
            Ok(Some(leaf.values.remove(at)))
        }
        Node::Inner(inner) => {
            let at = inner.child_of(key);
            let Some(child) = inner.children.get_mut(at) else { return Ok(None) };
            let before = remove_from(child, edit, key)?;
            if before.is_some() {
                if let Some(count) = inner.counts.get_mut(at) {
                    *count -= 1;
                }
                tidy_child(inner, at, edit);
            }
            Ok(before)
        }
    })
}

/// After a removal below child `at`: an empty child goes, a small one joins its neighbour. Only for the tree's shape, so a
/// page that cannot be read is left alone; the removal itself must not fail half way.
fn tidy_child(inner: &mut Inner, at: usize, edit: &mut Edit<'_>) {
    let Some(child) = inner.children.get(at) else { return };
    if inner.counts.get(at) == Some(&0) && inner.children.len() > 1 {
        free(edit, child);
        inner.children.remove(at);
        inner.counts.remove(at);
        inner.separators.remove(at.saturating_sub(1));
        return;
    }
    let Ok(node) = edit.pager.node(child) else { return };
    let limit = match &*node {
        Node::Leaf(_) => LEAF_BYTES_MAX,
        Node::Inner(_) => INNER_BYTES_MAX,
    };
    if node.size() > limit / 4 || inner.children.len() < 2 {
        return;
    }
    let left = if at + 1 < inner.children.len() { at } else { at - 1 };
    let (Some(left_slot), Some(right_slot)) = (inner.children.get(left), inner.children.get(left + 1)) else {
        return;
    };
    let (Ok(left_node), Ok(right_node)) = (edit.pager.node(left_slot), edit.pager.node(right_slot)) else { return };
    if left_node.size() + right_node.size() > limit * 3 / 4 {
        return;
    }
    let joined = match (&*left_node, &*right_node) {
        (Node::Leaf(l), Node::Leaf(r)) => {
            let mut joined = l.clone();
            joined.keys.append(&r.keys);
            joined.values.extend_from_slice(&r.values);
            Node::Leaf(joined)
        }
        (Node::Inner(l), Node::Inner(r)) => {
            let mut joined = l.clone();
            joined.separators.push(inner.separators.get(left));
            joined.separators.append(&r.separators);
            joined.children.extend(r.children.iter().cloned());
            joined.counts.extend_from_slice(&r.counts);
            Node::Inner(joined)
        }
        _ => return,
    };
    free(edit, left_slot);
    free(edit, right_slot);
    let entries = joined.entries();
    let slot = new_slot(edit, joined);
    if let (Some(place), Some(count)) = (inner.children.get_mut(left), inner.counts.get_mut(left)) {
        *place = slot;
        *count = entries;
    }
    inner.children.remove(left + 1);
    inner.counts.remove(left + 1);
    inner.separators.remove(left);
}

fn dirty_below(slot: &Arc<Slot>, pages: &mut Vec<DirtyPage>) {
    // Below a clean page everything is clean: a changed child changes its parent.
    if slot.is_clean() {
        return;
    }
    let Some(node) = slot.node.load_full() else { return };
    if let Node::Inner(inner) = &*node {
        for child in &inner.children {
            dirty_below(child, pages);
        }
    }
    pages.push(DirtyPage { slot: Arc::clone(slot), node });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{Engine, Space};
    use crate::testing;
    use std::collections::BTreeMap;

    fn store(engine: &Arc<dyn Engine>, pager: &Pager, pages: &mut Vec<DirtyPage>) {
        pages.sort_by_key(DirtyPage::id);
        pages.dedup_by_key(|page| page.id());
        engine.ingest(Space::Pages, &mut pages.iter().map(|page| page.entry(pager))).unwrap();
    }

    /// Random edits against a BTreeMap, with snapshots that must stay as they were, checkpoints in between and a budget
    /// that forces pages out.
    #[test]
    fn agrees_with_a_map_across_snapshots_checkpoints_and_eviction() {
        let (_dir, engine, sealer) = testing::engine();
        let pager = Pager::new(Arc::clone(&engine), sealer, 20_000);
        let mut tree = Tree::new(&pager);
        let mut model = BTreeMap::new();
        let (mut freed, mut dirty_bytes) = (Vec::new(), 0);
        let mut random = testing::Random::new(7);
        let mut snapshots: Vec<(Tree, BTreeMap<Vec<u8>, u64>)> = Vec::new();
        for step in 0..30_000_u64 {
            let mut edit =
                Edit { pager: &pager, freed: &mut freed, lsn: step, reserved: None, dirty_bytes: &mut dirty_bytes };
            let width = if random.below(50) == 0 { 300 } else { 1 };
            let key = format!("{:0w$}", random.below(4_000), w = width).into_bytes();
            // Grow, then shrink.
            if random.below(100) < if step < 15_000 { 70 } else { 25 } {
                assert_eq!(tree.insert(&mut edit, &key, step).unwrap(), model.insert(key, step));
            } else {
                assert_eq!(tree.remove(&mut edit, &key).unwrap(), model.remove(&key));
            }
            if step % 3_000 == 0 {
                snapshots.push((tree.clone(), model.clone()));
            }
            if step % 1_000 == 999 {
                let mut pages = Vec::new();
                tree.dirty(&mut pages);
                snapshots.iter().for_each(|(snapshot, _)| snapshot.dirty(&mut pages));
                store(&engine, &pager, &mut pages);
                Tree::mark_clean(&pager, pages);
                assert!(pager.resident_bytes() < 60_000, "{}", pager.resident_bytes());
            }
        }
        for (snapshot, model) in snapshots.iter().chain([&(tree.clone(), model.clone())]) {
            for (key, value) in model {
                assert_eq!(snapshot.get(&pager, key).unwrap(), Some(*value));
            }
            assert_eq!(snapshot.entries(&pager).unwrap(), model.len() as u64);
            walks_as_the_map(snapshot, &pager, model, &mut random);
        }
        assert!(pager.counters().1 > 0, "nothing was evicted");
        let mut pages = Vec::new();
        tree.dirty(&mut pages);
        store(&engine, &pager, &mut pages);
        let reopened = Tree::open(tree.root_page(), &pager);
        for (key, value) in &model {
            assert_eq!(reopened.get(&pager, key).unwrap(), Some(*value));
        }
        let ids = reopened.stored_pages(&pager).unwrap();
        assert_eq!(ids.len() as u64, {
            let mut unique = ids.clone();
            unique.sort_unstable();
            unique.dedup();
            unique.len() as u64
        });
    }

    fn walks_as_the_map(tree: &Tree, pager: &Pager, model: &BTreeMap<Vec<u8>, u64>, random: &mut testing::Random) {
        let mut cursor = tree.cursor(pager);
        for _ in 0..40 {
            let key = format!("{:0w$}", random.below(4_100), w = 1).into_bytes();
            let to = format!("{:0w$}", random.below(4_100), w = 1).into_bytes();
            assert_eq!(tree.rank(pager, &key).unwrap(), model.range(..key.clone()).count() as u64);
            if key <= to {
                let count = model.range(key.clone()..to.clone()).count() as u64;
                assert_eq!(tree.count(pager, &key, Some(&to)).unwrap(), count);
            }
            cursor.seek(&key).unwrap();
            for (key, value) in model.range(key.clone()..).take(300) {
                assert_eq!(cursor.entry(), Some((key.as_slice(), *value)));
                cursor.forward().unwrap();
            }
            cursor.seek_before(Some(&key)).unwrap();
            for (key, value) in model.range(..key.clone()).rev().take(300) {
                assert_eq!(cursor.entry(), Some((key.as_slice(), *value)));
                cursor.back().unwrap();
            }
        }
        cursor.seek_before(None).unwrap();
        assert_eq!(cursor.entry().map(|(key, _)| key.to_vec()), model.keys().last().cloned());
        cursor.seek(b"").unwrap();
        assert_eq!(cursor.entry().map(|(key, _)| key.to_vec()), model.keys().next().cloned());
    }

    #[test]
    fn ascending_keys_fill_their_pages() {
        let (_dir, engine, sealer) = testing::engine();
        let pager = Pager::new(engine, sealer, usize::MAX);
        let mut tree = Tree::new(&pager);
        let (mut freed, mut dirty_bytes) = (Vec::new(), 0);
        let mut edit = Edit { pager: &pager, freed: &mut freed, lsn: 1, reserved: None, dirty_bytes: &mut dirty_bytes };
        for n in 0..20_000_u64 {
            tree.insert(&mut edit, format!("{n:012}").as_bytes(), n).unwrap();
        }
        let size = tree.measure(&pager).unwrap();
        assert_eq!(size.entries, 20_000);
        assert!(size.bytes / size.pages > 3_500, "{size:?}");
    }
}
