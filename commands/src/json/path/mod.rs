//! Paths of JSON.*: RedisJSON's own JSONPath, and its older notation `.a["b"][0]`.
//!
//! Owns what a path is and how it is read and walked. It is not the JSONPath of DOC.GET, which is RFC 9535's: names of other
//! characters stand here without brackets, filters know `=~` and no functions, and `..` lists each node's matches before those
//! below it.

mod filter;
mod parse;
mod walk;

use veddb_storage::document::ValueRef;
use veddb_storage::document::value::{Object, Value};

use crate::error::CommandError;
use filter::Filter;

/// A path, read.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// As it was sent.
    pub(super) original: String,
    /// As a JSONPath, for what is said of it.
    pub(super) text: String,
    /// In the older notation, which means one place and has one answer.
    pub(super) legacy: bool,
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Debug, Clone)]
enum Segment {
    /// `.a`, `["a"]`, `["a","b"]`
    Names(Vec<String>),
    /// `[0]`, `[0,-1]`
    Indexes(Vec<i64>),
    /// `[start:end:step]`
    Range { start: Option<i64>, end: Option<i64>, step: usize },
    /// `.*`, `[*]`
    All,
    /// `..`, before what is looked for in the node and everything below it.
    Below,
    /// `[?(..)]`
    Filter(Filter),
}

/// How to get one level down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// To the member of this name.
    Name(String),
    /// To the element at this index.
    Index(usize),
}

/// Where a value stands, from the root.
pub(super) type Place = Vec<Step>;

/// The value at a place, if there still is one.
pub(super) fn at<'v>(root: &'v mut Value, place: &[Step]) -> Option<&'v mut Value> {
    place.iter().try_fold(root, |value, step| match (value, step) {
        (Value::Object(members), Step::Name(name)) => members.get_mut(name),
        (Value::Array(elements), Step::Index(index)) => elements.get_mut(*index),
        _ => None,
    })
}

/// Takes the value at a place out; whether there was one. The root stays.
pub(super) fn remove(root: &mut Value, place: &[Step]) -> bool {
    let Some((last, parent)) = place.split_last() else { return false };
    match (at(root, parent), last) {
        (Some(Value::Object(members)), Step::Name(name)) => members.remove(name).is_some(),
        (Some(Value::Array(elements)), Step::Index(index)) if *index < elements.len() => {
            elements.remove(*index);
            true
        }
        _ => false,
    }
}

/// The outermost of these places, each once, from the last to the first: what is done at one does not move the next.
pub(super) fn outermost(mut places: Vec<Place>) -> Vec<Place> {
    // A place comes right before those below it.
    places.sort_unstable();
    let mut kept: Vec<Place> = Vec::with_capacity(places.len());
    for place in places {
        if !kept.last().is_some_and(|above| place.starts_with(above)) {
            kept.push(place);
        }
    }
    kept.reverse();
    kept
}

/// Where a value would be put that is not there yet.
pub(super) struct Addition<'p> {
    /// The places of the objects that get it, or would if they had no such member.
    pub(super) parents: Vec<Place>,
    /// The member.
    pub(super) name: &'p str,
}

impl Path {
    /// Reads a path.
    pub(super) fn parse(path: &[u8]) -> Result<Path, CommandError> {
        parse::parse(path)
    }

    /// Whether it is the root's.
    pub(super) fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The values that it selects, in order.
    pub(super) fn values<'v>(&self, root: ValueRef<'v>) -> Result<Vec<ValueRef<'v>>, CommandError> {
        let mut values = Vec::new();
        walk::walk(self, &self.segments, root, &mut |value, _| values.push(value))?;
        Ok(values)
    }

    /// The first of them.
    pub(super) fn first<'v>(&self, root: ValueRef<'v>) -> Result<Option<ValueRef<'v>>, CommandError> {
        Ok(self.values(root)?.first().copied())
    }

    /// The values that it selects, with their places.
    pub(super) fn places<'v>(&self, root: ValueRef<'v>) -> Result<Vec<(ValueRef<'v>, Place)>, CommandError> {
        let mut found = Vec::new();
        walk::walk(self, &self.segments, root, &mut |value, trail| found.push((value, walk::place(trail))))?;
        Ok(found)
    }

    /// Where a value is to be put when the path selects none, as RedisJSON has it: the path may select one place at most, and
    /// its last step is a name. None where it ends in an index of an element that is there.
    pub(super) fn addition(&self, root: ValueRef<'_>) -> Result<Option<Addition<'_>>, CommandError> {
        let single = |segment: &Segment| match segment {
            Segment::Names(names) => names.len() == 1,
            Segment::Indexes(indexes) => indexes.len() == 1,
            _ => false,
        };
        if !self.segments.iter().all(single) {
            return Err(CommandError::err("wrong static path"));
        }
        match self.segments.split_last() {
            Some((Segment::Names(names), above)) => {
                let mut parents = Vec::new();
                walk::walk(self, above, root, &mut |_, trail| parents.push(walk::place(trail)))?;
                let name = names.first().map_or("", String::as_str);
                Ok(Some(Addition { parents, name }))
            }
            Some(_) if self.first(root)?.is_some() => Ok(None),
            Some(_) => Err(CommandError::err("array index out of range")),
            None => Err(CommandError::err("path must end with object key to set")),
        }
    }
}

impl Addition<'_> {
    /// Puts the value where it is missing; whether anywhere.
    pub(super) fn put(&self, root: &mut Value, value: &Value) -> bool {
        let mut done = false;
        for place in &self.parents {
            if let Some(Value::Object(Object(members))) = at(root, place)
                && !members.iter().any(|(name, _)| name == self.name)
            {
                members.push((self.name.to_owned(), value.clone()));
                done = true;
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.chars().map(|c| c.to_digit(10).map_or(Step::Name(c.into()), |n| Step::Index(n as usize))).collect()
    }

    #[test]
    fn the_outermost_come_once_and_last_first() {
        let places = ["a", "ab", "a", "b0c", "b1", "b0", "b11", "bb"].map(place).to_vec();
        assert_eq!(outermost(places), ["b1", "b0", "bb", "a"].map(place));
        assert_eq!(outermost(vec![place("a"), place("")]), [place("")]);
    }
}
