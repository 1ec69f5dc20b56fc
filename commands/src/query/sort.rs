//! SORT: `{"a": 1, "b.c": -1}`, MongoDB's order.
//!
//! An array sorts by its least element (descending: its greatest), an empty one before null, a missing field as null. Keys that
//! lead through one array sort by the element that comes first under all of them, as the entries of an index on them do.

use std::cmp::Ordering;

use veddb_storage::document::json::parse_value;
use veddb_storage::document::path::{INDEXES_MAX, Path};
use veddb_storage::document::rows::{Parallel, Row, direct, rows};
use veddb_storage::document::{Kind, Packed, RawObject, Value, ValueRef, codec, order};

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
pub struct SortKey(Vec<Packed>);

impl Sort {
    /// Reads a SORT argument; none when it names no key.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Option<Sort>, CommandError> {
        let packed = parse_value(text, text_limits(limits)).map_err(|e| bad_sort(e.to_string()))?;
        match packed.get() {
            ValueRef::Object(keys) if keys.is_empty() => Ok(None),
            ValueRef::Object(keys) => Sort::from_object(keys).map(Some).map_err(bad_sort),
            other => Err(bad_sort(format!("needs an object, not {}", other.kind().name()))),
        }
    }

    /// Reads `{"path": 1 or -1, ..}`.
    pub fn from_object(object: RawObject<'_>) -> Result<Sort, String> {
        let mut keys = Vec::new();
        for (path, direction) in object.iter() {
            if path.split('.').any(|segment| segment.is_empty() || segment.starts_with('$')) {
                return Err(format!("{path} is not a path"));
            }
            let descending = match whole(direction) {
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
    ///
    /// # Errors
    /// When keys lead through different arrays.
    pub fn key(&self, document: RawObject<'_>) -> Result<SortKey, String> {
        let paths = || self.keys.iter().map(|(path, _)| path.segments());
        let (row, arrays) = direct(document, paths());
        if arrays == 0 {
            return Ok(SortKey::of(&row));
        }
        let mut best: Option<Row<'_>> = None;
        rows(document, paths(), &mut |row| {
            if best.as_ref().is_none_or(|best| self.compare_rows(row, best).is_lt()) {
                best = Some(row.clone());
            }
            true
        })
        .map_err(|Parallel| parallel(self))?;
        Ok(SortKey::of(&best.unwrap_or(row)))
    }

    fn compare_rows(&self, a: &Row<'_>, b: &Row<'_>) -> Ordering {
        for ((a, b), (_, descending)) in a.iter().zip(b).zip(&self.keys) {
            let order = compare_ends(end(*a), end(*b));
            if order.is_ne() {
                return if *descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }

    /// The order of two documents by their keys.
    pub fn compare(&self, a: &SortKey, b: &SortKey) -> Ordering {
        for ((a, b), (_, descending)) in a.0.iter().zip(&b.0).zip(&self.keys) {
            let order = compare_ends(a.get(), b.get());
            if order.is_ne() {
                return if *descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }
}

impl SortKey {
    fn of(row: &Row<'_>) -> SortKey {
        SortKey(row.iter().map(|value| Packed::from_ref(end(*value))).collect())
    }

    /// The key as a value, for [`SortKey::from_value`].
    pub fn to_value(&self) -> Value {
        Value::Array(self.0.iter().map(|end| end.get().to_value()).collect())
    }

    /// The key that became this value.
    pub fn from_value(value: &Value) -> SortKey {
        SortKey(value.as_array().unwrap_or_default().iter().map(codec::pack_value).collect())
    }

    /// What it takes in memory, bytes, about.
    pub fn size(&self) -> usize {
        self.0.iter().map(|end| size_of::<Packed>() + end.size()).sum()
    }
}

/// What stands where a path ends: a missing value is null.
fn end(value: Option<ValueRef<'_>>) -> ValueRef<'_> {
    value.unwrap_or(ValueRef::Null)
}

/// An array is met only where it has no elements: between MinKey and null, where BSON's undefined stands.
fn compare_ends(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    let is_empty = |value: ValueRef<'_>| matches!(value, ValueRef::Array(array) if array.is_empty());
    match (is_empty(a), is_empty(b)) {
        (false, false) => order::compare(a, b),
        (true, true) => Ordering::Equal,
        (true, false) if b.kind() == Kind::MinKey => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) => compare_ends(b, a).reverse(),
    }
}

fn parallel(sort: &Sort) -> String {
    let names: Vec<String> = sort.keys.iter().map(|(path, _)| path.to_string()).collect();
    format!("cannot sort by parallel arrays: at most one of {} may be an array", names.join(", "))
}

/// A direction as MongoDB reads it: doubles without their fraction, decimals rounded.
fn whole(direction: ValueRef<'_>) -> Option<i64> {
    match direction {
        ValueRef::Double(n) if n.abs() < 2.0 => Some(n as i64),
        ValueRef::Decimal(n) => n.to_string().parse::<f64>().ok().filter(|n| n.abs() < 2.0).map(|n| n.round() as i64),
        other => other.to_value().as_integer(),
    }
}

/// A `BADFILTER` about the sort.
pub(super) fn bad_sort(what: String) -> CommandError {
    CommandError::new(ErrorCode::BadFilter, format!("SORT: {what}"))
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
    ///
    /// # Errors
    /// `BADFILTER` where [`Sort::key`] fails.
    pub fn push(&mut self, document: RawObject<'_>, item: T) -> Result<(), CommandError> {
        // Also of a document that is not kept: whether a sort can be does not depend on how much is wanted.
        let key = self.sort.key(document).map_err(bad_sort)?;
        if self.keep == 0 {
            return Ok(());
        }
        self.held.push((key, item));
        if self.held.len() >= self.keep.saturating_mul(2).max(1024) {
            self.settle();
        }
        Ok(())
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
            top.push(root, (*text).to_owned()).unwrap();
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

    /// The documents in their order under the keys.
    #[track_caller]
    fn check(keys: &str, ordered: &[&str]) {
        let mut turned = ordered.to_vec();
        turned.reverse();
        assert_eq!(sorted(keys, usize::MAX, &turned), ordered, "{keys}");
    }

    #[test]
    fn keys_through_one_array_stand_together() {
        // By the least of the pairs: not (1, 1), which is no element's.
        let split = r#"{"a":[{"b":1,"c":9},{"b":2,"c":1}]}"#;
        check(r#"{"a.b":1,"a.c":1}"#, &[r#"{"a":[{"b":1,"c":5}]}"#, split, r#"{"a":[{"b":2,"c":0}]}"#]);
        // (2, 1) comes first of its pairs, as (1, 9) does when b ascends and c descends.
        check(r#"{"a.b":-1,"a.c":1}"#, &[r#"{"a":[{"b":2,"c":0}]}"#, split, r#"{"a":[{"b":1,"c":5}]}"#]);
        check(r#"{"a.b":1,"a.c":-1}"#, &[split, r#"{"a":[{"b":1,"c":5}]}"#, r#"{"a":[{"b":2,"c":0}]}"#]);
        check(r#"{"a.b":-1,"a.c":-1}"#, &[split, r#"{"a":[{"b":2,"c":0}]}"#, r#"{"a":[{"b":1,"c":5}]}"#]);
        // A key beside the array, one that is the array's elements, and arrays in arrays.
        check(
            r#"{"x":1,"a.b":1,"a.c":1}"#,
            &[r#"{"x":0,"a":[{"b":7}]}"#, split.replacen('{', r#"{"x":1,"#, 1).as_str()],
        );
        check(r#"{"a":1,"a.b":-1}"#, &[r#"{"a":[1,{"b":2}]}"#, r#"{"a":[{"b":2}]}"#, r#"{"a":[{"b":2,"c":1}]}"#]);
        let deep = r#"{"a":[{"b":[{"c":1,"d":9},{"c":3,"d":1}]},{"b":[{"c":2,"d":2}]}]}"#;
        check(r#"{"a.b.c":1,"a.b.d":1}"#, &[r#"{"a":{"b":{"c":1,"d":8}}}"#, deep, r#"{"a":{"b":{"c":2,"d":1}}}"#]);
        check(r#"{"a.b.c":-1,"a.b.d":1}"#, &[r#"{"a":{"b":{"c":3,"d":0}}}"#, deep, r#"{"a":{"b":{"c":2,"d":1}}}"#]);
    }

    #[test]
    fn mixed_types_and_nothing_through_arrays() {
        let ordered = [
            r#"{"a":[{"b":{"$minKey":1},"c":1},{"b":5}]}"#,
            r#"{"a":[{"b":[],"c":1},{"b":5,"c":1}]}"#,
            r#"{"a":[{"c":1},{"b":5,"c":0}]}"#,
            r#"{"a":[{"b":null,"c":2}]}"#,
            r#"{"a":[{"b":1.5,"c":0},{"b":"x","c":0}]}"#,
            r#"{"a":[{"b":{"$numberLong":"2"},"c":0}]}"#,
            r#"{"a":[{"b":"x","c":1}]}"#,
            r#"{"a":[{"b":{"k":1},"c":1}]}"#,
            r#"{"a":[{"b":true,"c":1}]}"#,
        ];
        check(r#"{"a.b":1,"a.c":1}"#, &ordered);
        // Descending, each document stands by its greatest.
        let descending =
            [ordered[8], ordered[7], ordered[6], ordered[4], ordered[1], ordered[2], ordered[5], ordered[3]];
        check(r#"{"a.b":-1,"a.c":-1}"#, &descending);
        let empty = [r#"{"a":{"$minKey":1},"b":1}"#, r#"{"a":[],"b":9}"#, r#"{"b":0}"#, r#"{"a":null,"b":1}"#];
        check(r#"{"a":1,"b":1}"#, &empty);
    }

    #[test]
    fn parallel_arrays_are_refused() {
        let sort = |keys: &str| Sort::parse(keys.as_bytes(), &Limits::default()).unwrap().unwrap();
        for (keys, document, refused) in [
            (r#"{"a":1,"b":1}"#, r#"{"a":[1],"b":[2]}"#, true),
            (r#"{"a":1,"b":1}"#, r#"{"a":[],"b":[]}"#, true),
            (r#"{"a":1,"b":1}"#, r#"{"a":[1],"b":2}"#, false),
            (r#"{"a":1,"x":1}"#, r#"{"a":[1],"b":[2]}"#, false),
            (r#"{"a.b":1,"a.c":1}"#, r#"{"a":[{"b":[1],"c":[2]}]}"#, true),
            (r#"{"a.b":1,"a.c":1}"#, r#"{"a":[{"b":[1]},{"c":[2]}]}"#, false),
            (r#"{"a.b":1,"a.0.c":1}"#, r#"{"a":[{"b":1,"c":2}]}"#, true),
        ] {
            let packed = parse_value(document.as_bytes(), text_limits(&Limits::default())).unwrap();
            let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
            assert_eq!(sort(keys).key(root).is_err(), refused, "{keys} of {document}");
        }
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
