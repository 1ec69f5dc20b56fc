//! Changing many keys of a tree at once, in their order: each page is made anew once, however many of its keys change.

use std::sync::Arc;

use super::node::{INNER_BYTES_MAX, INNER_CHILDREN_MIN, Inner, LEAF_BYTES_MAX, Leaf, Node, Slot};
use super::pager::Edit;
use super::tree::{Tree, free, new_slot, shortest_between};
use crate::Error;

/// A key with its value; none removes it.
pub(crate) type Change = (Box<[u8]>, Option<u64>);

/// A node that takes the place of one that was changed, or stands beside it.
struct Part {
    /// What separates it from the one before it.
    before: Vec<u8>,
    slot: Arc<Slot>,
    entries: u64,
}

impl Tree {
    /// Sets and removes keys; they ascend, each stands there once.
    ///
    /// # Errors
    /// A page that cannot be read; then the tree is as it was.
    pub(crate) fn apply(&mut self, edit: &mut Edit<'_>, changes: &[Change]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut parts = change(self.root(), edit, changes)?;
        while parts.len() > 1 {
            parts = inner_parts(edit, parts);
        }
        let root = match parts.pop() {
            Some(only) => only.slot,
            None => new_slot(edit, Node::Leaf(Leaf::default())),
        };
        *self = Tree::of(root);
        self.lower(edit)
    }
}

// Goes no deeper than the tree is high.
fn change(slot: &Arc<Slot>, edit: &mut Edit<'_>, changes: &[Change]) -> Result<Vec<Part>, Error> {
    let node = edit.pager.load(slot)?;
    let parts = match &*node {
        Node::Leaf(leaf) => leaf_parts(edit, leaf, changes),
        Node::Inner(inner) => {
            let mut children: Vec<Part> = Vec::with_capacity(inner.children.len());
            let mut rest = changes;
            for (at, (child, entries)) in inner.children.iter().zip(&inner.counts).enumerate() {
                let end = if at < inner.separators.len() {
                    let separator = inner.separators.get(at);
                    rest.partition_point(|(key, _)| &**key < separator)
                } else {
                    rest.len()
                };
                let (of_child, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                rest = after;
                let before = if at == 0 { Vec::new() } else { inner.separators.get(at - 1).to_vec() };
                if of_child.is_empty() {
                    children.push(Part { before, slot: Arc::clone(child), entries: *entries });
                    continue;
                }
                let mut parts = change(child, edit, of_child)?;
                if let Some(first) = parts.first_mut() {
                    first.before = before;
                }
                children.append(&mut parts);
            }
            join_small(edit, &mut children)?;
            if children.is_empty() { Vec::new() } else { inner_parts(edit, children) }
        }
    };
    free(edit, slot);
    Ok(parts)
}

/// The leaves of what a leaf had and what changes.
fn leaf_parts(edit: &mut Edit<'_>, leaf: &Leaf, changes: &[Change]) -> Vec<Part> {
    let mut made = Vec::new();
    let mut next = Leaf::default();
    let mut before = Vec::new();
    let mut push = |edit: &mut Edit<'_>, key: &[u8], value: u64| {
        let size = next.keys.size() + 8 * next.values.len() + key.len() + 12;
        if size > LEAF_BYTES_MAX && !next.values.is_empty() {
            let separator = shortest_between(next.keys.get(next.values.len() - 1), key);
            let full = std::mem::take(&mut next);
            let entries = full.values.len() as u64;
            let slot = new_slot(edit, Node::Leaf(full));
            made.push(Part { before: std::mem::replace(&mut before, separator), slot, entries });
        }
        next.keys.push(key);
        next.values.push(value);
    };
    let mut old = 0;
    for (key, value) in changes {
        while old < leaf.values.len() && leaf.keys.get(old) < &**key {
            push(edit, leaf.keys.get(old), leaf.values.get(old).copied().unwrap_or_default());
            old += 1;
        }
        if old < leaf.values.len() && leaf.keys.get(old) == &**key {
            old += 1;
        }
        if let Some(value) = value {
            push(edit, key, *value);
        }
    }
    for (at, value) in leaf.values.iter().enumerate().skip(old) {
        push(edit, leaf.keys.get(at), *value);
    }
    if !next.values.is_empty() {
        // A leaf that was full and got one entry more would leave the rest nearly empty: share evenly.
        if let Some(full) = made.last_mut()
            && next.keys.size() + 8 * next.values.len() < LEAF_BYTES_MAX / 2
        {
            share(edit, full, &mut next, &mut before);
        }
        let entries = next.values.len() as u64;
        made.push(Part { before, slot: new_slot(edit, Node::Leaf(next)), entries });
    }
    made
}

/// Moves the second half of a leaf that was just made to the one after it.
fn share(edit: &mut Edit<'_>, full: &mut Part, next: &mut Leaf, before: &mut Vec<u8>) {
    let Some(node) = full.slot.node.load_full() else { return };
    let Node::Leaf(leaf) = &*node else { return };
    let mut left = leaf.clone();
    let keep = (left.values.len() + next.values.len()).div_ceil(2).min(left.values.len());
    if keep == 0 || keep == left.values.len() {
        return;
    }
    let mut right = Leaf { keys: left.keys.split_off(keep), values: left.values.split_off(keep) };
    *before = shortest_between(left.keys.get(keep - 1), right.keys.get(0));
    right.keys.append(&next.keys);
    right.values.append(&mut next.values);
    *next = right;
    free(edit, &full.slot);
    full.entries = left.values.len() as u64;
    full.slot = new_slot(edit, Node::Leaf(left));
}

/// Leaves that were made anew and became small join the one before them, if that was made anew too.
fn join_small(edit: &mut Edit<'_>, parts: &mut Vec<Part>) -> Result<(), Error> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts.drain(..) {
        let fresh = |part: &Part| !part.slot.is_clean();
        if let Some(last) = joined.last_mut()
            && fresh(last)
            && fresh(&part)
            && let (Node::Leaf(left), Node::Leaf(right)) =
                (&*edit.pager.load(&last.slot)?, &*edit.pager.load(&part.slot)?)
        {
            let size = |leaf: &Leaf| leaf.keys.size() + 8 * leaf.values.len();
            let small = size(left).min(size(right)) < LEAF_BYTES_MAX / 4;
            if small && size(left) + size(right) < LEAF_BYTES_MAX / 4 * 3 {
                let mut whole = left.clone();
                whole.keys.append(&right.keys);
                whole.values.extend_from_slice(&right.values);
                free(edit, &last.slot);
                free(edit, &part.slot);
                last.entries = whole.values.len() as u64;
                last.slot = new_slot(edit, Node::Leaf(whole));
                continue;
            }
        }
        joined.push(part);
    }
    *parts = joined;
    Ok(())
}

/// The inner nodes over these, as few as hold them.
fn inner_parts(edit: &mut Edit<'_>, children: Vec<Part>) -> Vec<Part> {
    let mut made = Vec::new();
    let mut node = Inner::default();
    let mut before = Vec::new();
    let mut left = children.len();
    for child in children {
        let size = node.separators.size() + 16 * node.children.len() + child.before.len();
        // The last node gets no fewer children than any inner node has.
        let full = size > INNER_BYTES_MAX && node.children.len() >= INNER_CHILDREN_MIN && left >= INNER_CHILDREN_MIN;
        if full {
            let whole = std::mem::take(&mut node);
            let entries = whole.counts.iter().sum();
            made.push(Part { before: std::mem::take(&mut before), slot: new_slot(edit, Node::Inner(whole)), entries });
        }
        if node.children.is_empty() {
            before = child.before;
        } else {
            node.separators.push(&child.before);
        }
        node.children.push(child.slot);
        node.counts.push(child.entries);
        left -= 1;
    }
    if !node.children.is_empty() {
        let entries = node.counts.iter().sum();
        made.push(Part { before, slot: new_slot(edit, Node::Inner(node)), entries });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Pager;
    use crate::kv::Space;
    use crate::testing;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map_and_older_versions_stay() {
        let (_dir, engine, sealer) = testing::engine();
        let pager = Pager::new(Arc::clone(&engine), sealer, 50_000);
        let mut random = testing::Random::new(5);
        let mut tree = Tree::new(&pager);
        let mut model: BTreeMap<Box<[u8]>, u64> = BTreeMap::new();
        let (mut freed, mut dirty_bytes) = (Vec::new(), 0);
        for round in 0..40 {
            let (before, model_before) = (tree.clone(), model.clone());
            let count = [1, 30, 900, 4000][random.below(4) as usize];
            let mut changes: BTreeMap<Box<[u8]>, Option<u64>> = BTreeMap::new();
            for _ in 0..count {
                let width = if random.below(40) == 0 { 900 } else { 1 };
                let key = format!("{:0w$}", random.below(9_000), w = width).into_bytes().into_boxed_slice();
                // Grow, then shrink to nothing.
                let add = random.below(100) < if round < 20 { 70 } else { 12 };
                changes.insert(key, add.then_some(round));
            }
            if round == 39 {
                changes = model.keys().map(|key| (key.clone(), None)).collect();
            }
            let mut edit =
                Edit { pager: &pager, freed: &mut freed, lsn: round, reserved: None, dirty_bytes: &mut dirty_bytes };
            tree.apply(&mut edit, &changes.clone().into_iter().collect::<Vec<_>>()).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            let mut pages = Vec::new();
            tree.dirty(&mut pages);
            pages.sort_by_key(crate::index::DirtyPage::id);
            engine.ingest(Space::Pages, &mut pages.iter().map(|page| page.entry(&pager))).unwrap();
            Tree::mark_clean(&pager, pages);
            for (tree, model) in [(&tree, &model), (&before, &model_before)] {
                assert_eq!(tree.entries(&pager).unwrap(), model.len() as u64);
                let mut cursor = tree.cursor(&pager);
                cursor.seek(b"").unwrap();
                for (at, (key, value)) in model.iter().enumerate() {
                    assert_eq!(cursor.entry(), Some((&**key, *value)), "round {round}");
                    if at % 61 == 0 {
                        assert_eq!(tree.get(&pager, key).unwrap(), Some(*value));
                    }
                    cursor.forward().unwrap();
                }
                assert_eq!(cursor.entry(), None);
            }
        }
        assert_eq!(tree.measure(&pager).unwrap().pages, 1);
    }
}
