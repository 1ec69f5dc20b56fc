//! Making changes in a document: the tree of changes is walked beside it, and missing parents are made.
//!
//! An error leaves a half-changed copy, which is dropped.

use std::collections::BTreeMap;

use veddb_storage::document::path::{Path, Segment};
use veddb_storage::document::{Object, Value};

use super::tree::{MATCHED, Member, Node, Selector, conflict};
use super::{Action, Change, Changes, Modifier, Outcome, Reach, bad_update};
use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};

/// How far beyond its end an index may pad an array with nulls, as in MongoDB.
const PADDING_MAX: usize = 1_500_000;

/// The places one update may visit in one document: `$[]` and `$[id]` multiply changes by elements.
const VISITS_MAX: u64 = 20_000_000;

/// What asking an array filter counts as, in visits.
const FILTER_VISITS: u64 = 8;

/// What all operands together may weigh, each as often as it is used, in sizes of the largest document. Checked while they
/// are used: the document's own size is known only in the end.
const OPERANDS_MAX: u64 = 4;

/// The object after all changes. `matched` is the element that the positional `$` stands for.
pub(super) fn apply(
    changes: &Changes,
    object: Object,
    matched: Option<usize>,
    inserting: bool,
    limits: &Limits,
) -> Result<Object, CommandError> {
    let resolved;
    let mut tree = &changes.tree;
    if changes.matched.is_some() {
        let Some(index) = matched else {
            let positional = |change: &&Change| change.path.segments().iter().any(|s| &*s.name == MATCHED);
            let (operator, path) = match changes.list.iter().find(positional) {
                Some(change) => (change.operator, change.path.to_string()),
                None => ("update", MATCHED.to_owned()),
            };
            return Err(bad_update(format!("{operator} at {path}: the filter matched no element of an array for $")));
        };
        let names: Vec<&str> = changes.filters.iter().map(|filter| filter.id.as_str()).collect();
        let segment = Segment { name: index.to_string().into(), index: Some(index) };
        resolved = Node::new(&changes.list, &names, Some(&segment))?;
        tree = &resolved;
    }
    let mut root = Value::Object(object);
    let mut walk = Walk {
        changes,
        inserting,
        moved: Vec::new(),
        visits: VISITS_MAX,
        weight: OPERANDS_MAX.saturating_mul(limits.max_document_size as u64),
    };
    walk.take(&mut root)?;
    walk.inside(&mut root, &[tree])?;
    match root {
        Value::Object(object) => Ok(object),
        other => Ok(Object(vec![("_id".to_owned(), other)])),
    }
}

/// Puts a value at a path of a document under construction, which must be free.
pub(super) fn plant(object: &mut Object, path: &Path, value: Value) -> Result<(), String> {
    let Some((last, parents)) = path.segments().split_last() else { return Ok(()) };
    let mut place = object;
    let mut planted = false;
    for parent in parents {
        let at = match place.0.iter().position(|(name, _)| *name == *parent.name) {
            Some(at) => at,
            None => {
                planted = true;
                place.0.push((parent.name.to_string(), Value::Object(Object::default())));
                place.0.len() - 1
            }
        };
        place = match place.0.get_mut(at) {
            Some((_, Value::Object(inner))) => inner,
            _ => return Err("stands beside a path above it".into()),
        };
    }
    if !planted && place.get(&last.name).is_some() {
        return Err("stands twice in the filter".into());
    }
    place.0.push((last.name.to_string(), value));
    Ok(())
}

struct Walk<'c> {
    changes: &'c Changes,
    inserting: bool,
    /// What each `$rename` took from its old place, by the change's position.
    moved: Vec<Option<Value>>,
    /// What is left of [`VISITS_MAX`].
    visits: u64,
    /// What is left of [`OPERANDS_MAX`].
    weight: u64,
}

/// What a change does at its place.
enum Doing<'c> {
    Modify(&'c dyn Modifier),
    Put(Value),
    Nothing,
}

impl<'c> Walk<'c> {
    /// Takes what is renamed from its old places. No other change is at, above or below them.
    fn take(&mut self, root: &mut Value) -> Result<(), CommandError> {
        let changes = &self.changes.list;
        if !changes.iter().any(|change| matches!(change.action, Action::Rename(_))) {
            return Ok(());
        }
        for change in changes {
            let taken = match &change.action {
                Action::Rename(to) => take(root, &change.path, to).map_err(|what| failed(change, what))?,
                _ => None,
            };
            self.moved.push(taken);
        }
        Ok(())
    }

    fn doing(&mut self, at: usize) -> Doing<'c> {
        match self.changes.list.get(at).map(|change| &change.action) {
            Some(Action::Modify(modifier)) => Doing::Modify(&**modifier),
            Some(Action::OnInsert(modifier)) if self.inserting => Doing::Modify(&**modifier),
            Some(Action::Rename(_)) => match self.moved.get_mut(at).and_then(Option::take) {
                Some(value) => Doing::Put(value),
                None => Doing::Nothing,
            },
            _ => Doing::Nothing,
        }
    }

    /// Counts places visited.
    fn visit(&mut self, visits: u64) -> Result<(), CommandError> {
        match self.visits.checked_sub(visits) {
            Some(left) => self.visits = left,
            None => return Err(bad_update(format!("it visits more than {VISITS_MAX} places of one document"))),
        }
        Ok(())
    }

    fn modify(&mut self, at: usize, current: Option<&mut Value>) -> Result<Outcome, CommandError> {
        let weight = self.changes.list.get(at).map_or(0, |change| change.weight);
        match self.weight.checked_sub(weight) {
            Some(left) => self.weight = left,
            None => {
                return Err(CommandError::new(
                    ErrorCode::TooBig,
                    self.failed(at, "puts too much into one document").message,
                ));
            }
        }
        let done = match self.doing(at) {
            Doing::Modify(modifier) => modifier.modify(current),
            Doing::Put(value) => Ok(Outcome::Put(value)),
            Doing::Nothing => Ok(Outcome::Stay),
        };
        done.map_err(|what| self.failed(at, what))
    }

    fn failed(&self, at: usize, what: impl std::fmt::Display) -> CommandError {
        self.changes.list.get(at).map_or_else(|| bad_update(what.to_string()), |change| failed(change, &what))
    }

    // These descend one level of the paths a call; the parser bounds a path's levels. Several nodes at one place come from
    // array filters that select the same element.

    /// Makes the changes at one value; true: it goes.
    fn at(&mut self, value: &mut Value, nodes: &[&Node]) -> Result<bool, CommandError> {
        self.visit(1)?;
        match nodes {
            [Node::Change(at)] => {
                match self.modify(*at, Some(value))? {
                    Outcome::Stay => {}
                    Outcome::Put(new) => *value = new,
                    Outcome::Remove => return Ok(true),
                }
                Ok(false)
            }
            [Node::Taken(_)] => Ok(false),
            nodes => self.inside(value, nodes).map(|()| false),
        }
    }

    /// Makes the changes below one value.
    fn inside(&mut self, container: &mut Value, nodes: &[&Node]) -> Result<(), CommandError> {
        if let [Node::Members(members)] = nodes {
            return self.members(container, members.iter().map(|(member, node)| (member, [node])));
        }
        if nodes.iter().all(|node| matches!(node, Node::Elements(_))) {
            let mut selected: Vec<(Selector, Vec<&Node>)> = Vec::new();
            for node in nodes {
                let Node::Elements(elements) = node else { continue };
                for (selector, inner) in elements {
                    match selected.iter_mut().find(|(other, _)| other == selector) {
                        Some((_, inners)) => inners.push(inner),
                        None => selected.push((*selector, vec![inner])),
                    }
                }
            }
            return self.elements(container, &selected);
        }
        let mut merged: BTreeMap<&Member, Vec<&Node>> = BTreeMap::new();
        for node in nodes {
            let Node::Members(members) = node else { return Err(self.meeting(nodes)) };
            for (member, inner) in members {
                merged.entry(member).or_default().push(inner);
            }
        }
        self.members(container, merged.into_iter())
    }

    fn members<'n>(
        &mut self,
        container: &mut Value,
        members: impl Iterator<Item = (&'n Member, impl AsRef<[&'n Node]>)>,
    ) -> Result<(), CommandError> {
        match container {
            Value::Object(object) => {
                for (Member(segment), nodes) in members {
                    match object.get_mut(&segment.name) {
                        Some(child) => {
                            if self.at(child, nodes.as_ref())? {
                                object.remove(&segment.name);
                            }
                        }
                        None => {
                            if let Some(value) = self.make(nodes.as_ref())? {
                                object.0.push((segment.name.to_string(), value));
                            }
                        }
                    }
                }
            }
            Value::Array(elements) => {
                for (Member(segment), nodes) in members {
                    self.element(elements, segment, nodes.as_ref())?;
                }
            }
            scalar => {
                let kind = scalar.kind().name();
                for (Member(segment), nodes) in members {
                    let what = || format!("cannot make {} inside a value of type {kind}", segment.name);
                    nodes.as_ref().iter().try_for_each(|node| self.blocked(node, &what))?;
                }
            }
        }
        Ok(())
    }

    fn element(&mut self, elements: &mut Vec<Value>, segment: &Segment, nodes: &[&Node]) -> Result<(), CommandError> {
        let Some(index) = segment.index else {
            let what = || format!("cannot make {} inside an array", segment.name);
            return nodes.iter().try_for_each(|node| self.blocked(node, &what));
        };
        match elements.get_mut(index) {
            Some(child) => {
                if self.at(child, nodes)? {
                    // The others keep their indexes.
                    *child = Value::Null;
                }
            }
            None => {
                if let Some(value) = self.make(nodes)? {
                    if index - elements.len() > PADDING_MAX {
                        let at = nodes.iter().find_map(|node| node.any_change()).unwrap_or_default();
                        return Err(self.failed(at, format!("index {index} is too far beyond the array's end")));
                    }
                    elements.resize(index, Value::Null);
                    elements.push(value);
                }
            }
        }
        Ok(())
    }

    fn elements(&mut self, container: &mut Value, selected: &[(Selector, Vec<&Node>)]) -> Result<(), CommandError> {
        let at = selected.iter().flat_map(|(_, nodes)| nodes).find_map(|node| node.any_change()).unwrap_or_default();
        let Value::Array(elements) = container else {
            return Err(self.failed(at, format!("$[..] in a value of type {}, not an array", container.kind().name())));
        };
        for element in elements {
            let mut here: Vec<&Node> = Vec::new();
            for (selector, nodes) in selected {
                let takes = match selector {
                    Selector::Every => true,
                    Selector::Filtered(at) => {
                        self.visit(FILTER_VISITS)?;
                        self.changes.filters.get(*at).is_some_and(|filter| filter.selects(element))
                    }
                };
                if takes {
                    here.extend(nodes);
                }
            }
            if here.len() > 1 && here.iter().any(|node| matches!(node, Node::Change(_) | Node::Taken(_))) {
                return Err(self.meeting(&here));
            }
            if !here.is_empty() && self.at(element, &here)? {
                *element = Value::Null;
            }
        }
        Ok(())
    }

    /// The value of a missing place; none when no change makes it. A numeric name makes a member, not an array, as in MongoDB.
    fn make(&mut self, nodes: &[&Node]) -> Result<Option<Value>, CommandError> {
        self.visit(1)?;
        if let [Node::Change(at)] = nodes {
            return Ok(match self.modify(*at, None)? {
                Outcome::Put(value) => Some(value),
                Outcome::Stay | Outcome::Remove => None,
            });
        }
        if let [Node::Taken(_)] = nodes {
            return Ok(None);
        }
        if let Some(node @ Node::Elements(_)) = nodes.first() {
            return Err(
                self.failed(node.any_change().unwrap_or_default(), "$[..] needs an array, and there is nothing")
            );
        }
        let mut object = Value::Object(Object::default());
        self.inside(&mut object, nodes)?;
        Ok(Some(object).filter(|object| object.as_object().is_some_and(|object| !object.0.is_empty())))
    }

    /// The path ends in a value that has no such members: an error for each change that minds.
    fn blocked(&self, node: &Node, what: &dyn Fn() -> String) -> Result<(), CommandError> {
        match node {
            Node::Change(at) => match self.changes.list.get(*at).map(|change| &change.action) {
                Some(Action::Modify(modifier)) if modifier.reach() != Reach::Tolerates => Err(self.failed(*at, what())),
                Some(Action::OnInsert(_)) if self.inserting => Err(self.failed(*at, what())),
                Some(Action::Rename(_)) if self.moved.get(*at).is_some_and(Option::is_some) => {
                    Err(self.failed(*at, what()))
                }
                _ => Ok(()),
            },
            Node::Taken(_) => Ok(()),
            Node::Members(members) => members.values().try_for_each(|node| self.blocked(node, what)),
            Node::Elements(_) => Err(self.failed(node.any_change().unwrap_or_default(), what())),
        }
    }

    /// Two of these nodes cannot be at one place.
    fn meeting(&self, nodes: &[&Node]) -> CommandError {
        let mut changes = nodes.iter().filter_map(|node| node.any_change());
        let (other, at) = (changes.next(), changes.next().unwrap_or_default());
        match self.changes.list.get(at) {
            Some(change) => conflict(&self.changes.list, &change.path, at, other),
            None => bad_update("two changes conflict"),
        }
    }
}

fn failed(change: &Change, what: impl std::fmt::Display) -> CommandError {
    bad_update(format!("{} at {}: {what}", change.operator, change.path))
}

/// Takes the value at `from` out, if there is one and `to` is free of arrays.
fn take(root: &mut Value, from: &Path, to: &Path) -> Result<Option<Value>, String> {
    let Some((last, parents)) = from.segments().split_last() else { return Ok(None) };
    let mut place = &*root;
    for segment in from.segments() {
        place = match place {
            Value::Object(object) => match object.get(&segment.name) {
                Some(child) => child,
                None => return Ok(None),
            },
            Value::Array(_) => return Err("cannot rename inside an array".into()),
            scalar => {
                return Err(format!(
                    "cannot look for {} inside a value of type {}",
                    segment.name,
                    scalar.kind().name()
                ));
            }
        };
    }
    let mut place = Some(&*root);
    for segment in to.segments() {
        place = match place {
            Some(Value::Object(object)) => object.get(&segment.name),
            Some(Value::Array(_)) => return Err(format!("{to}: cannot rename into an array")),
            _ => None,
        };
    }
    let mut place = root;
    for segment in parents {
        let Value::Object(object) = place else { return Ok(None) };
        let Some(child) = object.get_mut(&segment.name) else { return Ok(None) };
        place = child;
    }
    Ok(if let Value::Object(object) = place { object.remove(&last.name) } else { None })
}
