//! SORT: `{"a": 1, "b.c": -1}`, MongoDB's order.
//!
//! An array sorts by its least element (descending: its greatest), an empty one before null, a missing field as null.

use std::cmp::Ordering;

use veddb_storage::document::json::parse_value;
use veddb_storage::document::path::{INDEXES_MAX, Leaf, Path};
use veddb_storage::document::{Kind, Packed, RawObject, ValueRef, order};

use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};
use crate::query::text_limits;

/// The most keys of one sort, as in MongoDB.
const KEYS_MAX: usize = 32;

/// A parsed sort.
#[derive(Debug)]
pub struct Sort {
    keys: Vec<(Path, bool)>,
}

/// What one document sorts by.
#[derive(Debug)]
pub struct SortKey(Vec<Part>);

#[derive(Debug)]
enum Part {
    EmptyArray,
    Value(Packed),
}

impl Sort {
    /// Reads a SORT argument; none when it names no key.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Option<Sort>, CommandError> {
        let bad = |what: String| CommandError::new(ErrorCode::BadFilter, format!("SORT: {what}"));
        let packed = parse_value(text, text_limits(limits)).map_err(|e| bad(e.to_string()))?;
        match packed.get() {
            ValueRef::Object(keys) if keys.is_empty() => Ok(None),
            ValueRef::Object(keys) => Sort::from_object(keys).map(Some).map_err(bad),
            other => Err(bad(format!("needs an object, not {}", other.kind().name()))),
        }
    }

    /// Reads `{"path": 1 or -1, ..}`.
    pub fn from_object(object: RawObject<'_>) -> Result<Sort, String> {
        let mut keys = Vec::new();
        for (path, direction) in object.iter() {
            if path.split('.').any(|segment| segment.is_empty() || segment.starts_with('$')) {
                return Err(format!("{path} is not a path"));
            }
            let descending = match direction.to_value().as_integer() {
                Some(1) => false,
                Some(-1) => true,
                _ => return Err(format!("{path} needs 1 or -1")),
            };
            let parsed = Path::new(path);
            if parsed.is_ambiguous() {
                return Err(format!("{path} has more than {INDEXES_MAX} array indexes"));
            }
            keys.push((parsed, descending));
        }
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(format!("needs 1 to {KEYS_MAX} keys"));
        }
        Ok(Sort { keys })
    }

    /// The paths, each with whether it is descending.
    pub fn keys(&self) -> &[(Path, bool)] {
        &self.keys
    }

    /// What this document sorts by.
    pub fn key(&self, document: RawObject<'_>) -> SortKey {
        SortKey(self.keys.iter().map(|(path, descending)| part(document, path, *descending)).collect())
    }

    /// The order of two documents by their keys.
    pub fn compare(&self, a: &SortKey, b: &SortKey) -> Ordering {
        for ((a, b), (_, descending)) in a.0.iter().zip(&b.0).zip(&self.keys) {
            let order = compare_parts(a, b);
            if order.is_ne() {
                return if *descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }
}

fn part(document: RawObject<'_>, path: &Path, descending: bool) -> Part {
    let mut best: Option<Part> = None;
    path.any(document, Leaf::Elements, &mut |value| {
        let candidate = match value {
            Some(ValueRef::Array(array)) if array.is_empty() => Part::EmptyArray,
            value => Part::Value(Packed::from_ref(value.unwrap_or(ValueRef::Null))),
        };
        let wins = if descending { Ordering::Greater } else { Ordering::Less };
        if best.as_ref().is_none_or(|best| compare_parts(&candidate, best) == wins) {
            best = Some(candidate);
        }
        false
    });
    best.unwrap_or_else(|| Part::Value(Packed::from_ref(ValueRef::Null)))
}

fn compare_parts(a: &Part, b: &Part) -> Ordering {
    match (a, b) {
        (Part::EmptyArray, Part::EmptyArray) => Ordering::Equal,
        // Between MinKey and null, where BSON's undefined stands.
        (Part::EmptyArray, Part::Value(v)) if v.get().kind() == Kind::MinKey => Ordering::Greater,
        (Part::EmptyArray, Part::Value(_)) => Ordering::Less,
        (Part::Value(_), Part::EmptyArray) => compare_parts(b, a).reverse(),
        (Part::Value(a), Part::Value(b)) => order::compare(a.get(), b.get()),
    }
}

/// Keeps the first documents of an order, all or only so many, without holding many more than that.
#[derive(Debug)]
pub struct Top<'s, T> {
    sort: &'s Sort,
    keep: usize,
    held: Vec<(SortKey, T)>,
}

impl<'s, T> Top<'s, T> {
    /// Keeps this many; `usize::MAX` keeps all.
    pub fn new(sort: &'s Sort, keep: usize) -> Top<'s, T> {
        Top { sort, keep, held: Vec::new() }
    }

    /// One more, in natural order: equal keys stay in it.
    pub fn push(&mut self, document: RawObject<'_>, item: T) {
        if self.keep == 0 {
            return;
        }
        self.held.push((self.sort.key(document), item));
        if self.held.len() >= self.keep.saturating_mul(2).max(1024) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.held.sort_by(|(a, _), (b, _)| self.sort.compare(a, b));
        self.held.truncate(self.keep);
    }

    /// What was kept, in order.
    pub fn finish(mut self) -> impl Iterator<Item = T> {
        self.settle();
        self.held.into_iter().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: &str, keep: usize, documents: &[&str]) -> Vec<String> {
        let sort = Sort::parse(keys.as_bytes(), &Limits::default()).unwrap().unwrap();
        let mut top = Top::new(&sort, keep);
        for text in documents {
            let packed = parse_value(text.as_bytes(), text_limits(&Limits::default())).unwrap();
            let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
            top.push(root, (*text).to_owned());
        }
        top.finish().collect()
    }

    #[test]
    fn mongodb_order() {
        let documents =
            [r#"{"a":"x"}"#, r#"{"a":2}"#, "{}", r#"{"a":[3,0]}"#, r#"{"a":[]}"#, r#"{"a":1.5}"#, r#"{"a":null}"#];
        let up = [r#"{"a":[]}"#, "{}", r#"{"a":null}"#, r#"{"a":[3,0]}"#, r#"{"a":1.5}"#, r#"{"a":2}"#, r#"{"a":"x"}"#];
        let down =
            [r#"{"a":"x"}"#, r#"{"a":[3,0]}"#, r#"{"a":2}"#, r#"{"a":1.5}"#, "{}", r#"{"a":null}"#, r#"{"a":[]}"#];
        assert_eq!(sorted(r#"{"a":1}"#, usize::MAX, &documents), up);
        assert_eq!(sorted(r#"{"a":-1}"#, usize::MAX, &documents), down);
        assert_eq!(sorted(r#"{"a":-1}"#, 2, &documents), down.get(..2).unwrap());
        let two = [r#"{"a":1,"b":1}"#, r#"{"a":1,"b":2}"#, r#"{"a":0,"b":0}"#];
        assert_eq!(sorted(r#"{"a":1,"b":-1}"#, usize::MAX, &two), [two[2], two[1], two[0]]);
    }

    #[test]
    fn the_top_of_many() {
        let documents: Vec<String> = (0..5000).map(|n| format!("{{\"a\":{}}}", (n * 7919) % 5000)).collect();
        let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
        assert_eq!(sorted(r#"{"a":1}"#, 3, &texts), [r#"{"a":0}"#, r#"{"a":1}"#, r#"{"a":2}"#]);
    }

    #[test]
    fn bad_sorts_are_refused() {
        for text in ["[]", r#"{"a":2}"#, r#"{"a":"1"}"#, r#"{"a..b":1}"#, r#"{"$a":1}"#, "x"] {
            assert_eq!(
                Sort::parse(text.as_bytes(), &Limits::default()).unwrap_err().code,
                ErrorCode::BadFilter,
                "{text}"
            );
        }
        assert!(Sort::parse(b"{}", &Limits::default()).unwrap().is_none());
    }
}
