//! Paths of JSON.*: RedisJSON's own JSONPath, and its older notation `.a["b"][0]`.
//!
//! Owns what a path is and how it is read and walked. It is not the JSONPath of DOC.GET, which is RFC 9535's: names of other
//! characters stand here without brackets, filters know `=~` and no functions, and `..` lists each node's matches before those
//! below it.

mod filter;
mod parse;
mod walk;

pub(super) use walk::Effort;

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

/// Where a value stands: of which member or element it is, from the root. Not by name, so that many places in one large object
/// are found as fast as few.
pub(super) type Place = Vec<u32>;

/// The value at a place, if there still is one.
pub(super) fn at<'v>(root: &'v mut Value, place: &[u32]) -> Option<&'v mut Value> {
    place.iter().try_fold(root, |value, step| {
        let step = usize::try_from(*step).ok()?;
        match value {
            Value::Object(Object(members)) => members.get_mut(step).map(|(_, member)| member),
            Value::Array(elements) => elements.get_mut(step),
            _ => None,
        }
    })
}

/// The outermost of these places, each once.
pub(super) fn outermost(mut places: Vec<Place>) -> Vec<Place> {
    // A place comes right before those below it.
    places.sort_unstable();
    let mut kept: Vec<Place> = Vec::with_capacity(places.len());
    for place in places {
        if !kept.last().is_some_and(|above| place.starts_with(above)) {
            kept.push(place);
        }
    }
    kept
}

/// What stands for a value that is taken out until [`sweep`], so that the others stay where they are. No JSON is this.
pub(super) const GONE: Value = Value::MinKey;

/// Takes out what is [`GONE`]. Recursion is bounded by the depth of a document.
pub(super) fn sweep(value: &mut Value) {
    let stays = |value: &Value| !matches!(value, Value::MinKey);
    match value {
        Value::Object(Object(members)) => {
            members.retain(|(_, member)| stays(member));
            members.iter_mut().for_each(|(_, member)| sweep(member));
        }
        Value::Array(elements) => {
            elements.retain(stays);
            elements.iter_mut().for_each(sweep);
        }
        _ => {}
    }
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

    /// Hands over the values that it selects, in order.
    pub(super) fn values<'v>(
        &self,
        root: ValueRef<'v>,
        effort: &Effort<'_>,
        found: &mut dyn FnMut(ValueRef<'v>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        walk::walk(self, &self.segments, root, effort, &mut |value, _| found(value))
    }

    /// The values that it selects, with their places.
    pub(super) fn places<'v>(
        &self,
        root: ValueRef<'v>,
        effort: &Effort<'_>,
    ) -> Result<Vec<(ValueRef<'v>, Place)>, CommandError> {
        let mut places = Vec::new();
        walk::walk(self, &self.segments, root, effort, &mut |value, trail| {
            let place = walk::place(trail);
            effort.hold(self, size_of::<(ValueRef<'_>, Place)>() + 16 + place.capacity() * size_of::<u32>())?;
            places.push((value, place));
            Ok(())
        })?;
        Ok(places)
    }

    /// Where a value is to be put when the path selects none, as RedisJSON has it: the path may select one place at most, and
    /// its last step is a name. None where it ends in an index of an element that is there.
    pub(super) fn addition(
        &self,
        root: ValueRef<'_>,
        effort: &Effort<'_>,
    ) -> Result<Option<Addition<'_>>, CommandError> {
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
                walk::walk(self, above, root, effort, &mut |_, trail| {
                    parents.push(walk::place(trail));
                    Ok(())
                })?;
                let name = names.first().map_or("", String::as_str);
                Ok(Some(Addition { parents, name }))
            }
            Some(_) => {
                let found = self.places(root, effort)?;
                if found.is_empty() { Err(CommandError::err("array index out of range")) } else { Ok(None) }
            }
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

    #[test]
    fn the_outermost_come_once() {
        let places: [&[u32]; 8] = [&[0], &[0, 1], &[0], &[1, 0, 2], &[1, 1], &[1, 0], &[1, 1, 1], &[10]];
        let kept = outermost(places.iter().map(|place| place.to_vec()).collect());
        assert_eq!(kept, [vec![0], vec![1, 0], vec![1, 1], vec![10]]);
        assert_eq!(outermost(vec![vec![0], vec![]]), [Place::new()]);
    }
}
