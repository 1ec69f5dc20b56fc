//! Dotted paths, and MongoDB's way of following one through arrays.
//!
//! On the way down an array stands for all of its elements that are objects, and a numeric segment also for the element of
//! that index. At the end an array stands for itself and for each of its elements. So one path may reach many
//! values, and none at all; it reaches "missing" where an object (or a scalar) lacks what the path names.

use super::codec::{RawArray, RawObject, ValueRef};

/// A parsed path such as `items.0.price`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Box<[Segment]>,
}

/// The most steps of a path that are array indexes.
pub const INDEXES_MAX: usize = 8;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The member's name.
    pub name: Box<str>,
    /// The array index it also is, when it is written as one.
    pub index: Option<usize>,
}

/// What a path stands for at an array that it ends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// The array and each of its elements.
    Each,
    /// The array alone.
    Whole,
    /// Its elements; the array itself when it has none.
    Elements,
}

impl Path {
    /// The path of this text. Any text is one; an empty segment names the member "".
    pub fn new(text: &str) -> Path {
        Path { segments: text.split('.').map(Segment::new).collect() }
    }

    /// Whether it has more steps that are array indexes than can be followed: each may be a member of an array's elements
    /// as well, so that every one doubles the ways.
    pub fn is_ambiguous(&self) -> bool {
        self.segments.iter().filter(|segment| segment.index.is_some()).count() > INDEXES_MAX
    }

    /// Its steps; at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Hands every value that the path reaches to `found`, None for missing, until `found` answers true. Answers whether it did.
    pub fn any<'a>(
        &self,
        root: RawObject<'a>,
        leaf: Leaf,
        found: &mut dyn FnMut(Option<ValueRef<'a>>) -> bool,
    ) -> bool {
        in_object(root, &self.segments, leaf, found)
    }
}

impl Path {
    /// The value it reaches where no array is on its way; [`Meets::Array`] where one is, also at its end.
    pub fn direct<'a>(&self, root: RawObject<'a>) -> Meets<'a> {
        direct(root, &self.segments)
    }

    /// The first array on its way through objects, its end included, and how many steps lead there.
    pub fn first_array<'a>(&self, root: RawObject<'a>) -> Option<(usize, RawArray<'a>)> {
        first_array(root, &self.segments)
    }

    /// What is left of it after so many steps; none when nothing is.
    pub fn after(&self, steps: usize) -> Option<Path> {
        let segments = self.segments.get(steps..).filter(|rest| !rest.is_empty())?;
        Some(Path { segments: segments.into() })
    }

    /// Whether one of the two paths is the other or leads on from it.
    pub fn overlaps(&self, other: &Path) -> bool {
        self.segments.iter().zip(&other.segments).all(|(a, b)| a.name == b.name)
    }
}

/// What a path comes to when it is followed through objects only.
#[derive(Debug, Clone, Copy)]
pub enum Meets<'a> {
    /// A value that is no array.
    Value(ValueRef<'a>),
    /// It ends in nothing.
    Nothing,
    /// An array.
    Array,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, segment) in self.segments.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            f.write_str(&segment.name)?;
        }
        Ok(())
    }
}

impl Segment {
    fn new(name: &str) -> Segment {
        let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let plain = digits && (name.len() == 1 || !name.starts_with('0'));
        Segment { name: name.into(), index: if plain { name.parse().ok() } else { None } }
    }
}

/// See [`Path::direct`].
pub(super) fn direct<'a>(root: RawObject<'a>, path: &[Segment]) -> Meets<'a> {
    let mut object = root;
    let mut segments = path.iter().peekable();
    while let Some(segment) = segments.next() {
        match object.get(&segment.name) {
            Some(ValueRef::Array(_)) => return Meets::Array,
            Some(ValueRef::Object(inner)) if segments.peek().is_some() => object = inner,
            Some(value) if segments.peek().is_none() => return Meets::Value(value),
            _ => return Meets::Nothing,
        }
    }
    Meets::Nothing
}

/// See [`Path::first_array`].
pub(super) fn first_array<'a>(root: RawObject<'a>, path: &[Segment]) -> Option<(usize, RawArray<'a>)> {
    let mut object = root;
    for (at, segment) in path.iter().enumerate() {
        match object.get(&segment.name)? {
            ValueRef::Array(array) => return Some((at + 1, array)),
            ValueRef::Object(inner) => object = inner,
            _ => return None,
        }
    }
    None
}

type Found<'f, 'a> = &'f mut dyn FnMut(Option<ValueRef<'a>>) -> bool;

// These three descend one level of the document a call, so the document's depth bounds them.

pub(super) fn in_object<'a>(object: RawObject<'a>, path: &[Segment], leaf: Leaf, found: Found<'_, 'a>) -> bool {
    let Some((segment, rest)) = path.split_first() else { return false };
    match object.get(&segment.name) {
        None => found(None),
        Some(value) if rest.is_empty() => at_end(value, leaf, found),
        Some(ValueRef::Object(inner)) => in_object(inner, rest, leaf, found),
        Some(ValueRef::Array(inner)) => in_array(inner, rest, leaf, found),
        // A scalar has no members.
        Some(_) => found(None),
    }
}

fn in_array<'a>(array: RawArray<'a>, path: &[Segment], leaf: Leaf, found: Found<'_, 'a>) -> bool {
    let Some((segment, rest)) = path.split_first() else { return false };
    for (index, element) in array.iter().enumerate() {
        if let ValueRef::Object(object) = element
            && in_object(object, path, leaf, found)
        {
            return true;
        }
        if segment.index != Some(index) {
            continue;
        }
        let hit = match element {
            value if rest.is_empty() => at_end(value, leaf, found),
            ValueRef::Object(object) => in_object(object, rest, leaf, found),
            ValueRef::Array(inner) => in_array(inner, rest, leaf, found),
            _ => false,
        };
        if hit {
            return true;
        }
    }
    false
}

fn at_end<'a>(value: ValueRef<'a>, leaf: Leaf, found: Found<'_, 'a>) -> bool {
    if let ValueRef::Array(array) = value
        && leaf != Leaf::Whole
        && !array.is_empty()
    {
        return array.iter().any(|element| found(Some(element))) || (leaf == Leaf::Each && found(Some(value)));
    }
    found(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::json::{ParseLimits, parse_value, render_value};

    fn reach(document: &str, path: &str, leaf: Leaf) -> String {
        let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
        let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
        let mut out = Vec::new();
        Path::new(path).any(root, leaf, &mut |value| {
            match value {
                Some(value) => render_value(&mut out, value),
                None => out.extend_from_slice(b"missing"),
            }
            out.push(b' ');
            false
        });
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    #[test]
    fn paths_reach_what_mongodb_reaches() {
        for (document, path, each) in [
            (r#"{"a":1}"#, "a", "1"),
            (r#"{"a":1}"#, "b", "missing"),
            (r#"{"a":1}"#, "a.b", "missing"),
            (r#"{"a":{"b":2}}"#, "a.b", "2"),
            (r#"{"a":[1,2]}"#, "a", "1 2 [1,2]"),
            (r#"{"a":[]}"#, "a", "[]"),
            (r#"{"a":[]}"#, "a.b", ""),
            (r#"{"a":[1,2]}"#, "a.b", ""),
            (r#"{"a":[{"b":1},{"c":2},3]}"#, "a.b", "1 missing"),
            (r#"{"a":[{"b":[1,2]}]}"#, "a.b", "1 2 [1,2]"),
            (r#"{"a":[5,6]}"#, "a.1", "6"),
            (r#"{"a":[5,6]}"#, "a.2", ""),
            (r#"{"a":[5,6]}"#, "a.01", ""),
            (r#"{"a":[[1,2]]}"#, "a.0", "1 2 [1,2]"),
            (r#"{"a":[[1,2]]}"#, "a.0.1", "2"),
            (r#"{"a":[{"b":1}]}"#, "a.0.b", "missing 1"),
            (r#"{"a":[{"0":7}]}"#, "a.0", r#"7 {"0":7}"#),
            (r#"{"a":{"0":7}}"#, "a.0", "7"),
            (r#"{"a":[[{"b":1}]]}"#, "a.b", ""),
            (r#"{"a":[[{"b":1}]]}"#, "a.0.b", "1"),
        ] {
            assert_eq!(reach(document, path, Leaf::Each), each, "{path} in {document}");
        }
        assert_eq!(reach(r#"{"a":[1,2]}"#, "a", Leaf::Whole), "[1,2]");
    }
}
