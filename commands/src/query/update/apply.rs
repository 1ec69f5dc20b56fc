//! Making changes in a document: finding the place of a path, making missing parents.

use veddb_storage::document::path::{Path, Segment};
use veddb_storage::document::{Object, Value};

use super::{Action, Change, Modifier, Outcome, bad_update};
use crate::error::CommandError;

/// How far beyond its end an index may pad an array with nulls, as in MongoDB.
const PADDING_MAX: usize = 1_500_000;

/// The object after all changes.
pub(super) fn apply(changes: &[Change], object: Object, inserting: bool) -> Result<Object, CommandError> {
    let mut root = Value::Object(object);
    for change in changes {
        let done = match &change.action {
            Action::Modify(modifier) => descend(&mut root, change.path.segments(), &**modifier),
            Action::OnInsert(modifier) if inserting => descend(&mut root, change.path.segments(), &**modifier),
            Action::OnInsert(_) => Ok(()),
            Action::Rename(to) => rename(&mut root, change.path.segments(), to.segments()),
        };
        done.map_err(|what| bad_update(format!("{} at {}: {what}", change.operator, change.path)))?;
    }
    match root {
        Value::Object(object) => Ok(object),
        other => Ok(Object(vec![("_id".to_owned(), other)])),
    }
}

/// Puts a value at a path of a document under construction, which must be free.
pub(super) fn plant(object: &mut Object, path: &Path, value: Value) -> Result<(), String> {
    let mut root = Value::Object(std::mem::take(object));
    let planted = descend(&mut root, path.segments(), &Plant(value));
    if let Value::Object(root) = root {
        *object = root;
    }
    planted
}

#[derive(Debug)]
struct Plant(Value);

impl Modifier for Plant {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        match current {
            None => Ok(Outcome::Put(self.0.clone())),
            Some(_) => Err("stands twice in the filter".into()),
        }
    }
}

// One level of the path a call; the parser bounds a path's levels.
fn descend(container: &mut Value, path: &[Segment], modifier: &dyn Modifier) -> Result<(), String> {
    let Some((segment, rest)) = path.split_first() else { return Ok(()) };
    match container {
        Value::Object(object) => match object.get_mut(&segment.name) {
            Some(child) if !rest.is_empty() => descend(child, rest, modifier),
            Some(child) => {
                match modifier.modify(Some(child))? {
                    Outcome::Stay => {}
                    Outcome::Put(value) => *child = value,
                    Outcome::Remove => {
                        object.remove(&segment.name);
                    }
                }
                Ok(())
            }
            None => {
                if let Outcome::Put(value) = modifier.modify(None)? {
                    object.0.push((segment.name.to_string(), with_parents(rest, value)));
                }
                Ok(())
            }
        },
        Value::Array(elements) => in_array(elements, segment, rest, modifier),
        scalar if modifier.creates() => {
            Err(format!("cannot make {} inside a value of type {}", segment.name, scalar.kind().name()))
        }
        _ => Ok(()),
    }
}

fn in_array(
    elements: &mut Vec<Value>,
    segment: &Segment,
    rest: &[Segment],
    modifier: &dyn Modifier,
) -> Result<(), String> {
    let Some(index) = segment.index else {
        let what = format!("cannot make {} inside an array", segment.name);
        return if modifier.creates() { Err(what) } else { Ok(()) };
    };
    match elements.get_mut(index) {
        Some(child) if !rest.is_empty() => descend(child, rest, modifier),
        Some(child) => {
            match modifier.modify(Some(child))? {
                Outcome::Stay => {}
                Outcome::Put(value) => *child = value,
                // The others keep their indexes.
                Outcome::Remove => *child = Value::Null,
            }
            Ok(())
        }
        None => {
            if let Outcome::Put(value) = modifier.modify(None)? {
                if index - elements.len() > PADDING_MAX {
                    return Err(format!("index {index} is too far beyond the array's end"));
                }
                elements.resize(index, Value::Null);
                elements.push(with_parents(rest, value));
            }
            Ok(())
        }
    }
}

/// The value inside new objects for what is left of its path. A numeric name makes a member, not an array, as in MongoDB.
fn with_parents(path: &[Segment], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, segment| Value::Object(Object(vec![(segment.name.to_string(), inner)])))
}

fn rename(root: &mut Value, from: &[Segment], to: &[Segment]) -> Result<(), String> {
    let Some((last, parents)) = from.split_last() else { return Ok(()) };
    let mut place = &mut *root;
    for segment in parents {
        place = match place {
            Value::Object(object) => match object.get_mut(&segment.name) {
                Some(child) => child,
                None => return Ok(()),
            },
            Value::Array(_) => return Err("cannot rename inside an array".into()),
            _ => return Ok(()),
        };
    }
    let taken = match place {
        Value::Object(object) => object.remove(&last.name),
        Value::Array(_) => return Err("cannot rename inside an array".into()),
        _ => None,
    };
    let Some(value) = taken else { return Ok(()) };
    descend(root, to, &Landing(value))
}

#[derive(Debug)]
struct Landing(Value);

impl Modifier for Landing {
    fn modify(&self, _: Option<&mut Value>) -> Result<Outcome, String> {
        Ok(Outcome::Put(self.0.clone()))
    }
}
