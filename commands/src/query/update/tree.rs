//! The changes of one update by their paths: what two of them have in common is one node, so two that meet are found
//! where they meet.
//!
//! Members stand in the order in which MongoDB makes changes: indexes by their value, then names by their bytes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use veddb_storage::document::path::{Path, Segment};

use super::{Action, Change, bad_update};
use crate::error::CommandError;

/// The name of the positional operator in a path.
pub(super) const MATCHED: &str = "$";

/// What the changes do at one place.
#[derive(Debug)]
pub(super) enum Node {
    /// This change is made.
    Change(usize),
    /// This change takes the value away from here.
    Taken(usize),
    /// Something is changed further down.
    Members(BTreeMap<Member, Node>),
    /// Something is changed in elements of the array that must be here.
    Elements(Vec<(Selector, Node)>),
}

/// Which elements of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selector {
    /// `$[]`
    Every,
    /// `$[id]`: those that match the array filter of this position.
    Filtered(usize),
}

/// A step to a member or an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member(pub(super) Segment);

impl Ord for Member {
    fn cmp(&self, other: &Member) -> Ordering {
        match (self.0.index, other.0.index) {
            (Some(left), Some(right)) => left.cmp(&right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.0.name.cmp(&other.0.name),
        }
    }
}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Member) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Node {
    /// The tree of all changes. `filters` are the names of the array filters; `matched` stands in for the positional `$`.
    pub(super) fn new(changes: &[Change], filters: &[&str], matched: Option<&Segment>) -> Result<Node, CommandError> {
        let mut building = Building { changes, filters, matched, root: Node::Members(BTreeMap::new()) };
        for (at, change) in changes.iter().enumerate() {
            match &change.action {
                Action::Rename(to) => {
                    building.put(&change.path, at, Node::Taken(at))?;
                    building.put(to, at, Node::Change(at))?;
                }
                _ => building.put(&change.path, at, Node::Change(at))?,
            }
        }
        Ok(building.root)
    }

    /// Some change at or below this place.
    pub(super) fn any_change(&self) -> Option<usize> {
        let mut node = self;
        loop {
            node = match node {
                Node::Change(at) | Node::Taken(at) => return Some(*at),
                Node::Members(members) => members.values().next()?,
                Node::Elements(elements) => elements.first().map(|(_, node)| node)?,
            };
        }
    }
}

struct Building<'c> {
    changes: &'c [Change],
    filters: &'c [&'c str],
    matched: Option<&'c Segment>,
    root: Node,
}

impl Building<'_> {
    fn put(&mut self, path: &Path, at: usize, leaf: Node) -> Result<(), CommandError> {
        let conflict = |other: &Node| Err(conflict(self.changes, path, at, other.any_change()));
        let mut place = &mut self.root;
        let mut steps = path.segments().iter().peekable();
        while let Some(step) = steps.next() {
            let next = match selector(step, self.filters) {
                Some(selector) => {
                    // A place that was just made holds nothing yet and becomes what is needed.
                    if matches!(place, Node::Members(members) if members.is_empty()) {
                        *place = Node::Elements(Vec::new());
                    }
                    match place {
                        Node::Elements(elements) => elements_entry(elements, selector),
                        other => return conflict(other),
                    }
                }
                None => {
                    let step = if &*step.name == MATCHED { self.matched.unwrap_or(step) } else { step };
                    match place {
                        Node::Members(members) => members.entry(Member(step.clone())).or_insert_with(empty),
                        other => return conflict(other),
                    }
                }
            };
            if steps.peek().is_none() {
                return match next {
                    Node::Members(members) if members.is_empty() => {
                        *next = leaf;
                        Ok(())
                    }
                    other => conflict(other),
                };
            }
            place = next;
        }
        Ok(())
    }
}

fn empty() -> Node {
    Node::Members(BTreeMap::new())
}

fn elements_entry(elements: &mut Vec<(Selector, Node)>, selector: Selector) -> &mut Node {
    let at = elements.iter().position(|(other, _)| *other == selector).unwrap_or(elements.len());
    if at == elements.len() {
        elements.push((selector, empty()));
    }
    let (_, node) = elements.get_mut(at).expect("an entry is there or was just added");
    node
}

/// `$[]` or `$[id]`.
fn selector(step: &Segment, filters: &[&str]) -> Option<Selector> {
    match identifier(&step.name)? {
        "" => Some(Selector::Every),
        // The parser refused what has no filter.
        id => filters.iter().position(|name| *name == id).map(Selector::Filtered),
    }
}

/// What stands between the brackets of `$[..]`.
pub(super) fn identifier(name: &str) -> Option<&str> {
    name.strip_prefix("$[")?.strip_suffix(']')
}

/// The change at this path meets another one.
pub(super) fn conflict(changes: &[Change], path: &Path, at: usize, other: Option<usize>) -> CommandError {
    let operator = changes.get(at).map_or("", |change| change.operator);
    match other.and_then(|other| changes.get(other)) {
        Some(other) => {
            let meets = match &other.action {
                Action::Rename(to) if to.overlaps(path) => to,
                _ => &other.path,
            };
            bad_update(format!("{operator} at {path}: conflicts with {} at {meets}", other.operator))
        }
        None => bad_update(format!("{operator} at {path}: conflicts with another change")),
    }
}
