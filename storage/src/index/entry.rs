//! The entries that a document has in an index.
//!
//! An entry's key is the fields' values in the form of [`crate::document::ordered`] (a descending field's bytes complemented),
//! then a tail: the record id (so that entries of equal values are different, and in natural order), what is needed to read
//! the values back, and the length of the fields. The layout is in `docs/formats.md`.
//!
//! Invariant: the entries of a document depend on the document and the index's specification alone.

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::spec::IndexSpec;
use crate::Error;
use crate::document::json::render_object;
use crate::document::ordered::{self, Decoded};
use crate::document::rows::{Parallel, Row, direct, rows};
use crate::document::value::{Kind, Object, Value};
use crate::document::{RawObject, ValueRef, codec};
use crate::record_id::RecordId;

/// Fields that take more than this are shortened: their first [`SHORTENED_BYTES`], then the SHA-256 of all.
pub const FIELDS_BYTES_MAX: usize = 8192;
/// What is kept of fields that are too long. Ranges are cut to it as well, so none of them misses an entry.
pub const SHORTENED_BYTES: usize = FIELDS_BYTES_MAX - 32;

/// The most entries that a document may have in one index, as in MongoDB.
pub(super) const ENTRIES_MAX: usize = 100_000;
/// The most bytes that these may take.
pub(super) const ENTRIES_BYTES_MAX: usize = 32 << 20;

/// Up to so many nulls in one key of a unique index each combination is looked up; of more, what begins alike is walked.
const EQUAL_NULLS_MAX: usize = 6;

/// In the tail: the values cannot be read back, the document has to be looked at.
const UNREADABLE: u8 = 0xff;

/// What a document has in one index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    /// The entries' keys, ascending, distinct.
    pub(crate) keys: Vec<Vec<u8>>,
    /// A bit for each field whose path met an array.
    pub(crate) multikey: u32,
    /// Whether fields were shortened.
    pub(crate) shortened: bool,
}

/// The parts of an entry's key.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'k> {
    /// The fields' values.
    pub fields: &'k [u8],
    /// The document.
    pub record: RecordId,
    tail: &'k [u8],
}

impl<'k> Entry<'k> {
    /// The parts of a key; none when it is not an entry's.
    pub fn of(key: &'k [u8]) -> Option<Entry<'k>> {
        let (rest, length) = key.split_last_chunk::<2>()?;
        let (fields, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (record, tail) = rest.split_first_chunk::<8>()?;
        Some(Entry { fields, record: RecordId(u64::from_be_bytes(*record)), tail })
    }
}

impl IndexSpec {
    /// What this document has in the index.
    ///
    /// # Errors
    /// `BadDocument` when two fields lead through different arrays.
    pub(crate) fn entries(&self, document: RawObject<'_>, record: RecordId) -> Result<Entries, Error> {
        let mut entries = Entries::default();
        if self.partial.as_ref().is_some_and(|filter| !filter.matches(document)) {
            return Ok(entries);
        }
        let paths = || self.fields.iter().map(|field| field.path.segments());
        let (row, arrays) = direct(document, paths());
        entries.multikey = arrays;
        if arrays == 0 {
            self.add(&mut entries, document, &row, record);
        } else {
            let (mut bytes, mut fits) = (0, true);
            let found = rows(document, paths(), &mut |row| {
                self.add(&mut entries, document, row, record);
                bytes += entries.keys.last().map_or(0, Vec::len);
                fits = entries.keys.len() <= ENTRIES_MAX && bytes <= ENTRIES_BYTES_MAX;
                fits
            });
            if !fits {
                return Err(self.too_many());
            }
            found.map_err(|Parallel| self.parallel())?;
            entries.keys.sort_unstable();
            // Equal values of different types are one entry: a multikey index does not read values back.
            entries.keys.dedup_by(|b, a| Entry::of(a).map(|e| e.fields) == Entry::of(b).map(|e| e.fields));
        }
        // A document of which the index knows nothing.
        if self.definition.sparse && entries.keys.iter().all(|key| self.all_missing(key)) {
            entries.keys.clear();
        }
        Ok(entries)
    }

    fn all_missing(&self, key: &[u8]) -> bool {
        let Some(entry) = Entry::of(key) else { return false };
        let missing = |field: &super::spec::IndexField| {
            if field.descending { !ordered::class::MISSING } else { ordered::class::MISSING }
        };
        entry.fields.len() == self.fields.len() && entry.fields.iter().zip(&self.fields).all(|(b, f)| *b == missing(f))
    }

    fn too_many(&self) -> Error {
        let name = self.name();
        Error::BadDocument(format!(
            "index {name} would have more than {ENTRIES_MAX} entries, or {ENTRIES_BYTES_MAX} bytes of them, of one document"
        ))
    }

    fn parallel(&self) -> Error {
        let names: Vec<&str> = self.fields.iter().map(|field| field.text.as_str()).collect();
        let (name, names) = (self.name(), names.join(", "));
        Error::BadDocument(format!("index {name} cannot hold parallel arrays: at most one of {names} may be an array"))
    }

    fn add(&self, entries: &mut Entries, document: RawObject<'_>, row: &Row<'_>, record: RecordId) {
        let mut key = Vec::with_capacity(48 * row.len() + 16);
        self.put_fields(&mut key, row);
        let mut readable = self.rebuildable && self.in_order(document, row);
        if key.len() > FIELDS_BYTES_MAX {
            let digest = Sha256::digest(&key);
            key.truncate(SHORTENED_BYTES);
            key.extend_from_slice(&digest);
            entries.shortened = true;
            readable = false;
        }
        let length = key.len() as u16;
        key.extend_from_slice(&record.0.to_be_bytes());
        let before = key.len();
        for (field, value) in self.fields.iter().zip(row) {
            match value {
                Some(ValueRef::Int32(_)) => key.push(Kind::Int32 as i8 as u8),
                Some(ValueRef::Int64(n)) if n.unsigned_abs() <= 1 << 53 => key.push(Kind::Int64 as i8 as u8),
                // The zeros are one key.
                Some(ValueRef::Double(n)) if *n != 0.0 || n.is_sign_positive() => key.push(Kind::Double as i8 as u8),
                None => readable &= field.path.segments().len() == 1,
                Some(ValueRef::Null | ValueRef::String(_) | ValueRef::ObjectId(_)) => {}
                Some(ValueRef::Bool(_) | ValueRef::Date(_)) => {}
                _ => readable = false,
            }
        }
        if !readable {
            key.truncate(before);
            key.push(UNREADABLE);
        }
        key.extend_from_slice(&length.to_be_bytes());
        entries.keys.push(key);
    }

    fn put_fields(&self, key: &mut Vec<u8>, row: &Row<'_>) {
        for (field, value) in self.fields.iter().zip(row) {
            let start = key.len();
            ordered::put_end(key, *value);
            if field.descending {
                key.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
            }
        }
    }

    /// Whether the document has the fields in the index's order, as a document read back from an entry has them.
    fn in_order(&self, document: RawObject<'_>, row: &Row<'_>) -> bool {
        let mut wanted = self.fields.iter().zip(row).filter(|(_, value)| value.is_some());
        let Some((mut field, _)) = wanted.next() else { return true };
        if self.fields.len() == 1 {
            return true;
        }
        // Below the top level two fields share members, whose order would have to be looked at as well.
        if self.fields.iter().any(|field| field.path.segments().len() > 1) {
            return false;
        }
        for (name, _) in document.iter() {
            if name == field.text {
                match wanted.next() {
                    Some((next, _)) => field = next,
                    None => return true,
                }
            }
        }
        false
    }

    /// The fields of a key with every combination of missing and null values that a unique index takes for equal, as
    /// MongoDB does; itself first. None when there are too many nulls for that.
    pub(crate) fn equal_fields(&self, fields: &[u8]) -> Option<SmallVec<[Vec<u8>; 2]>> {
        let mut nulls: SmallVec<[(usize, u8); 2]> = SmallVec::new();
        let mut at = 0;
        for field in &self.fields {
            let rest = fields.get(at..).unwrap_or_default();
            let flip = if field.descending { 0xff } else { 0 };
            let length = match rest.first().map(|byte| byte ^ flip) {
                Some(ordered::class::MISSING | ordered::class::NULL) => {
                    nulls.push((at, flip));
                    Some(1)
                }
                _ if field.descending => ordered::length(&rest.iter().map(|byte| !*byte).collect::<Vec<u8>>()),
                _ => ordered::length(rest),
            };
            // What was shortened has its rest in its digest.
            let Some(length) = length else { break };
            at += length;
        }
        if nulls.len() > EQUAL_NULLS_MAX {
            return None;
        }
        let mut equal: SmallVec<[Vec<u8>; 2]> = SmallVec::new();
        equal.push(fields.to_vec());
        for (at, flip) in nulls {
            for mut other in equal.clone() {
                if let Some(byte) = other.get_mut(at) {
                    *byte = if *byte ^ flip == ordered::class::NULL {
                        ordered::class::MISSING
                    } else {
                        ordered::class::NULL
                    } ^ flip;
                }
                equal.push(other);
            }
        }
        Some(equal)
    }

    /// Whether a unique index takes the fields of two entries for equal: missing and null are.
    pub(crate) fn is_equal(&self, a: &Entry<'_>, b: &Entry<'_>) -> bool {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let count = self.fields.len();
        let whole = self.sort_bytes(a, count, &mut left).is_some() && self.sort_bytes(b, count, &mut right).is_some();
        a.fields == b.fields || (whole && left == right)
    }

    /// Writes what the first fields of an entry sort by: as in the key, but a missing value is null. Answers how many of
    /// these bytes end with the first null (entries that differ after it are not in the order of the sort), all of them
    /// without one, and whether there is one. None when the entry is shortened within the fields.
    pub fn sort_bytes(&self, entry: &Entry<'_>, fields: usize, out: &mut Vec<u8>) -> Option<(usize, bool)> {
        out.clear();
        let mut rest = entry.fields;
        let mut first_null = None;
        let mut turned = Vec::new();
        for field in self.fields.iter().take(fields) {
            let length = if field.descending {
                turned.clear();
                turned.extend(rest.iter().map(|byte| !*byte));
                ordered::length(&turned)?
            } else {
                ordered::length(rest)?
            };
            let (value, after) = rest.split_at_checked(length)?;
            let class = value.first().map(|byte| if field.descending { !*byte } else { *byte });
            if matches!(class, Some(ordered::class::MISSING | ordered::class::NULL)) {
                out.push(if field.descending { !ordered::class::NULL } else { ordered::class::NULL });
                first_null.get_or_insert(out.len());
            } else {
                out.extend_from_slice(value);
            }
            rest = after;
        }
        Some((first_null.unwrap_or(out.len()), first_null.is_some()))
    }

    /// The fields of an entry's key as JSON, for messages: `{"a":5}`. Their names where they cannot be read back.
    pub fn describe(&self, key: &[u8]) -> String {
        let unreadable = || format!("({})", self.fields.iter().map(|f| f.text.as_str()).collect::<Vec<_>>().join(", "));
        let Some(body) = Entry::of(key).and_then(|entry| self.read_back(&entry)) else { return unreadable() };
        let mut out = Vec::new();
        render_object(&mut out, RawObject::from_body(&body));
        String::from_utf8(out).unwrap_or_else(|_| unreadable())
    }

    /// The document that has only the index's fields, in its stored form; none when the entry does not tell.
    pub fn read_back(&self, entry: &Entry<'_>) -> Option<Box<[u8]>> {
        if entry.tail == [UNREADABLE] {
            return None;
        }
        let mut kinds = entry.tail.iter();
        let mut rest = entry.fields;
        let mut document = Object::default();
        let mut complemented;
        for field in &self.fields {
            let value = if field.descending {
                complemented = rest.iter().map(|byte| !*byte).collect::<Vec<u8>>();
                let mut turned = complemented.as_slice();
                let value = ordered::decode(&mut turned)?;
                rest = rest.get(rest.len() - turned.len()..)?;
                value
            } else {
                ordered::decode(&mut rest)?
            };
            let value = match value {
                Decoded::Missing => continue,
                Decoded::Null => Value::Null,
                Decoded::Number(n) => match *kinds.next()? as i8 {
                    kind if kind == Kind::Int32 as i8 => Value::Int32(n as i32),
                    kind if kind == Kind::Int64 as i8 => Value::Int64(n as i64),
                    _ => Value::Double(n),
                },
                Decoded::String(text) => Value::String(text),
                Decoded::ObjectId(id) => Value::ObjectId(id),
                Decoded::Bool(flag) => Value::Bool(flag),
                Decoded::Date(ms) => Value::Date(ms),
            };
            let mut segments = field.path.segments().iter().rev();
            let last = segments.next()?;
            let member = segments.fold((last.name.to_string(), value), |(name, value), outer| {
                (outer.name.to_string(), Value::Object(Object(vec![(name, value)])))
            });
            document.0.push(member);
        }
        Some(codec::pack_object(&document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::json::{ParseLimits, parse_value, render_object};
    use crate::index::spec::IndexDefinition;

    fn spec(keys: &str) -> IndexSpec {
        IndexSpec::new(IndexDefinition { name: "i".into(), keys: keys.into(), ..IndexDefinition::default() }).unwrap()
    }

    fn of(spec: &IndexSpec, document: &str) -> Result<Entries, Error> {
        let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
        let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
        spec.entries(root, RecordId(7))
    }

    /// How many entries there are, and those that can be read back.
    #[track_caller]
    fn check(keys: &str, document: &str, count: usize, read: &[&str]) {
        let spec = spec(keys);
        let entries = of(&spec, document).unwrap();
        assert_eq!(entries.keys.len(), count, "{document}");
        let back = |key: &Vec<u8>| {
            let entry = Entry::of(key).unwrap();
            assert_eq!(entry.record, RecordId(7));
            let body = spec.read_back(&entry)?;
            let mut out = Vec::new();
            render_object(&mut out, RawObject::from_body(&body));
            Some(String::from_utf8(out).unwrap())
        };
        assert_eq!(entries.keys.iter().filter_map(back).collect::<Vec<_>>(), read, "{document}");
    }

    #[test]
    fn entries_of_documents() {
        check(r#"{"a":1}"#, r#"{"a":5}"#, 1, &[r#"{"a":5}"#]);
        check(r#"{"a":-1}"#, r#"{"a":"x\u0000y"}"#, 1, &[r#"{"a":"x\u0000y"}"#]);
        check(r#"{"a":1}"#, r#"{"a":5.0}"#, 1, &[r#"{"a":5.0}"#]);
        check(r#"{"a":1}"#, r#"{"a":-0.0}"#, 1, &[]);
        check(r#"{"a":1}"#, r#"{"b":5}"#, 1, &["{}"]);
        check(r#"{"a.b":1}"#, r#"{"a":{"b":true}}"#, 1, &[r#"{"a":{"b":true}}"#]);
        check(r#"{"a.b":1}"#, r#"{"a":5}"#, 1, &[]);
        check(r#"{"a":1,"b":-1}"#, r#"{"a":1,"x":0,"b":"z"}"#, 1, &[r#"{"a":1,"b":"z"}"#]);
        check(r#"{"a":1,"b":-1}"#, r#"{"b":1,"a":"z"}"#, 1, &[]);
        check(r#"{"a":1}"#, r#"{"a":[3,1,3.0,[2],[]]}"#, 4, &[r#"{"a":1}"#, r#"{"a":3.0}"#]);
        check(r#"{"a":1}"#, r#"{"a":[]}"#, 1, &[]);
        check(r#"{"a.b":1}"#, r#"{"a":[{"b":[1,2]},{"c":1},7]}"#, 3, &[r#"{"a":{"b":1}}"#, r#"{"a":{"b":2}}"#]);
        check(r#"{"a.b":1}"#, r#"{"a":[1,2]}"#, 1, &[]);
    }

    #[test]
    fn arrays_side_by_side() {
        let two = r#"{"a.b":1,"a.c":1}"#;
        check(two, r#"{"a":[{"b":1,"c":2},{"b":3}]}"#, 2, &[]);
        check(two, r#"{"a":[{"b":[1,2],"c":2},{"b":3}]}"#, 3, &[]);
        check(two, r#"{"a":[]}"#, 1, &[]);
        check(two, r#"{"a":[7,{"b":1}]}"#, 1, &[]);
        check(r#"{"a":1,"a.b":1}"#, r#"{"a":[7,{"b":1}]}"#, 2, &[]);
        check(r#"{"a":1,"a.b":1}"#, r#"{"a":[]}"#, 1, &[]);
        check(r#"{"a":1,"b":1}"#, r#"{"a":[1,2],"b":3}"#, 2, &[r#"{"a":1,"b":3}"#, r#"{"a":2,"b":3}"#]);
        for (keys, document) in [
            (r#"{"a":1,"b":1}"#, r#"{"a":[1],"b":[2]}"#),
            (two, r#"{"a":{"b":[1],"c":[2]}}"#),
            (two, r#"{"a":[{"b":[1],"c":[2]}]}"#),
        ] {
            assert!(matches!(of(&spec(keys), document), Err(Error::BadDocument(_))), "{document}");
        }
    }

    #[test]
    fn sparse_and_partial_leave_documents_out() {
        let mut definition =
            IndexDefinition { name: "i".into(), keys: r#"{"a":1,"b":-1}"#.into(), ..IndexDefinition::default() };
        definition.sparse = true;
        let sparse = IndexSpec::new(definition.clone()).unwrap();
        assert_eq!(of(&sparse, r#"{"c":1}"#).unwrap().keys.len(), 0);
        assert_eq!(of(&sparse, r#"{"b":null}"#).unwrap().keys.len(), 1);
        definition.partial = Some(r#"{"c":{"$gt":1}}"#.into());
        let partial = IndexSpec::new(definition).unwrap();
        assert_eq!(of(&partial, r#"{"a":1,"c":1}"#).unwrap().keys.len(), 0);
        assert_eq!(of(&partial, r#"{"a":1,"c":2}"#).unwrap().keys.len(), 1);
    }

    #[test]
    fn long_values_are_shortened_and_stay_apart() {
        let spec = spec(r#"{"a":1}"#);
        let long = |tail: &str| of(&spec, &format!(r#"{{"a":"{}{tail}"}}"#, "x".repeat(9000))).unwrap();
        let (one, two) = (long("1"), long("2"));
        assert!(one.shortened && one.keys != two.keys);
        let fields = Entry::of(&one.keys[0]).unwrap().fields;
        assert_eq!(fields.len(), FIELDS_BYTES_MAX);
        assert_eq!(fields[..SHORTENED_BYTES], Entry::of(&two.keys[0]).unwrap().fields[..SHORTENED_BYTES]);
    }
}
