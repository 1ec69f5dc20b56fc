//! Walking a tree: in both directions from any key, and counting without walking.

use std::sync::Arc;

use super::node::{Leaf, Node, Slot};
use super::pager::Pager;
use super::tree::Tree;
use crate::Error;

/// A place in one version of a tree. Holds at most one node of each level.
pub(crate) struct Cursor<'p> {
    pager: &'p Pager,
    root: Arc<Slot>,
    /// The inner nodes from the root down, with the child that was taken in each.
    above: Vec<(Arc<Node>, usize)>,
    leaf: Option<Arc<Node>>,
    at: usize,
}

impl Tree {
    /// A cursor before the first entry.
    pub(crate) fn cursor<'p>(&self, pager: &'p Pager) -> Cursor<'p> {
        Cursor { pager, root: Arc::clone(self.root()), above: Vec::new(), leaf: None, at: 0 }
    }

    /// How many entries there are.
    pub(crate) fn entries(&self, pager: &Pager) -> Result<u64, Error> {
        Ok(pager.node(self.root())?.entries())
    }

    /// How many keys are less than this one. Looks at one node of each level.
    pub(crate) fn rank(&self, pager: &Pager, key: &[u8]) -> Result<u64, Error> {
        let mut rank = 0;
        let mut node = pager.load(self.root())?;
        loop {
            let child = match &*node {
                Node::Leaf(leaf) => {
                    let (Ok(at) | Err(at)) = leaf.keys.search(key);
                    return Ok(rank + at as u64);
                }
                Node::Inner(inner) => {
                    let at = inner.child_of(key);
                    rank += inner.counts.iter().take(at).sum::<u64>();
                    match inner.children.get(at) {
                        Some(child) => pager.load(child)?,
                        None => return Ok(rank),
                    }
                }
            };
            node = child;
        }
    }

    /// How many keys are in `from..to`; no `to` is the end.
    pub(crate) fn count(&self, pager: &Pager, from: &[u8], to: Option<&[u8]>) -> Result<u64, Error> {
        let end = match to {
            Some(to) => self.rank(pager, to)?,
            None => self.entries(pager)?,
        };
        Ok(end.saturating_sub(self.rank(pager, from)?))
    }
}

impl Cursor<'_> {
    fn leaf(&self) -> Option<&Leaf> {
        match self.leaf.as_deref() {
            Some(Node::Leaf(leaf)) => Some(leaf),
            _ => None,
        }
    }

    /// The entry it stands at; none at the end.
    pub(crate) fn entry(&self) -> Option<(&[u8], u64)> {
        let leaf = self.leaf()?;
        Some((leaf.keys.get(self.at), *leaf.values.get(self.at)?))
    }

    fn descend(&mut self, slot: &Arc<Slot>, mut choose: impl FnMut(&Node) -> usize) -> Result<(), Error> {
        let mut node = self.pager.load(slot)?;
        loop {
            let at = choose(&node);
            let child = match &*node {
                Node::Leaf(_) => {
                    self.at = at;
                    self.leaf = Some(node);
                    return Ok(());
                }
                Node::Inner(inner) => inner.children.get(at).map(|child| self.pager.load(child)).transpose()?,
            };
            let Some(child) = child else {
                self.leaf = None;
                return Ok(());
            };
            self.above.push((node, at));
            node = child;
        }
    }

    /// Goes to the first entry whose key is not less.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.above.clear();
        let root = Arc::clone(&self.root);
        self.descend(&root, |node| match node {
            Node::Leaf(leaf) => {
                let (Ok(at) | Err(at)) = leaf.keys.search(key);
                at
            }
            Node::Inner(inner) => inner.child_of(key),
        })?;
        self.settle_forward()
    }

    /// Goes to the last entry whose key is less; to the last of all when there is no key.
    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) -> Result<(), Error> {
        self.above.clear();
        let root = Arc::clone(&self.root);
        self.descend(&root, |node| match (node, key) {
            (Node::Leaf(leaf), Some(key)) => {
                let (Ok(at) | Err(at)) = leaf.keys.search(key);
                at
            }
            (Node::Inner(inner), Some(key)) => inner.child_of(key),
            (Node::Leaf(leaf), None) => leaf.values.len(),
            (Node::Inner(inner), None) => inner.children.len().saturating_sub(1),
        })?;
        self.back()
    }

    /// Goes to the next entry.
    pub(crate) fn forward(&mut self) -> Result<(), Error> {
        self.at += 1;
        self.settle_forward()
    }

    /// Leaves may be empty; goes on to the first that has an entry.
    fn settle_forward(&mut self) -> Result<(), Error> {
        while self.leaf().is_some_and(|leaf| self.at >= leaf.values.len()) {
            let next = loop {
                let Some((node, at)) = self.above.last_mut() else { break None };
                *at += 1;
                if let Node::Inner(inner) = &**node
                    && let Some(child) = inner.children.get(*at)
                {
                    break Some(Arc::clone(child));
                }
                self.above.pop();
            };
            match next {
                Some(child) => self.descend(&child, |_| 0)?,
                None => self.leaf = None,
            }
        }
        Ok(())
    }

    /// Goes to the entry before.
    pub(crate) fn back(&mut self) -> Result<(), Error> {
        while self.leaf.is_some() {
            if self.at > 0 {
                self.at -= 1;
                return Ok(());
            }
            let before = loop {
                let Some((node, at)) = self.above.last_mut() else { break None };
                if *at > 0
                    && let Node::Inner(inner) = &**node
                {
                    *at -= 1;
                    break inner.children.get(*at).cloned();
                }
                self.above.pop();
            };
            match before {
                Some(child) => self.descend(&child, |node| match node {
                    Node::Leaf(leaf) => leaf.values.len(),
                    Node::Inner(inner) => inner.children.len().saturating_sub(1),
                })?,
                None => self.leaf = None,
            }
        }
        Ok(())
    }
}
