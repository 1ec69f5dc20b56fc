//! Documents of another collection that have one of some values at a path: what joins look for.
//!
//! A value is compared by its bytes of [`ordered`], as a filter's `$eq` compares: an array stands for itself and for its
//! elements, null for nothing as well. An index only narrows: what it finds is compared too.

use veddb_storage::document::bounds::Bounds;
use veddb_storage::document::id::id_candidates;
use veddb_storage::document::path::{Leaf, Path, Segment};
use veddb_storage::document::{RawObject, ValueRef, ordered};
use veddb_storage::{CollectionHandle, Index, KeyRange, RecordId, Scan};

use super::memory::Held;
use super::{Failure, Row, Rows, Running};
use crate::query::plan::{Cost, cost_of_lookup, cost_of_scan};

/// Values to be found, each by its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<Box<[u8]>>);

impl Keys {
    /// Those of these values.
    pub(super) fn of(values: &[ValueRef<'_>]) -> Keys {
        let mut keys: Vec<Box<[u8]>> = values.iter().map(|value| key(*value)).collect();
        keys.sort_unstable();
        keys.dedup();
        Keys(keys)
    }

    /// One by one, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| &**key)
    }

    /// What they take in memory, bytes.
    pub(super) fn size(&self) -> usize {
        self.iter().map(|key| size_of::<Box<[u8]>>() + key.len()).sum()
    }

    fn has(&self, key: &[u8]) -> bool {
        match self.0.as_slice() {
            [only] => **only == *key,
            several => several.binary_search_by(|known| (**known).cmp(key)).is_ok(),
        }
    }
}

/// A value's bytes.
pub(super) fn key(value: ValueRef<'_>) -> Box<[u8]> {
    let mut key = Vec::new();
    ordered::put(&mut key, value);
    key.into_boxed_slice()
}

/// The values at a path from which a join starts: arrays stand for their elements, and a step that is a number for the
/// element of an array with that index. Nothing at all is null.
pub(super) fn values_at<'a>(root: RawObject<'a>, path: &Path) -> Vec<ValueRef<'a>> {
    let mut values = Vec::new();
    gather(root, path.segments(), &mut values);
    if values.is_empty() {
        values.push(ValueRef::Null);
    }
    values
}

/// The same, of which none is none.
pub(super) fn gather_at<'a>(root: RawObject<'a>, path: &Path, values: &mut Vec<ValueRef<'a>>) {
    gather(root, path.segments(), values);
}

// Descends one level of the document a call, so the document's depth bounds it.
fn gather<'a>(object: RawObject<'a>, path: &[Segment], values: &mut Vec<ValueRef<'a>>) {
    let Some((segment, mut rest)) = path.split_first() else { return };
    let Some(mut value) = object.get(&segment.name) else { return };
    while let (ValueRef::Array(array), Some((next, after))) = (value, rest.split_first())
        && let Some(index) = next.index
    {
        let Some(element) = array.get(index) else { return };
        (value, rest) = (element, after);
    }
    match value {
        ValueRef::Array(array) if rest.is_empty() => values.extend(array.iter()),
        value if rest.is_empty() => values.push(value),
        ValueRef::Object(inner) => gather(inner, rest, values),
        ValueRef::Array(array) => {
            for element in array.iter() {
                if let ValueRef::Object(inner) = element {
                    gather(inner, rest, values);
                }
            }
        }
        _ => {}
    }
}

/// A collection in which documents are looked for by what they have at a path.
#[derive(Debug, Clone)]
pub(super) struct Foreign {
    collection: CollectionHandle,
    path: Path,
    way: Way,
}

/// What there is beside a look at every document.
#[derive(Debug, Clone)]
enum Way {
    /// The index on `_id`.
    Id,
    /// An index whose first field is the path.
    Index(Index),
    None,
}

/// Where documents may stand, according to an index.
#[derive(Debug)]
pub(super) struct Places {
    ids: Vec<Vec<u8>>,
    ranges: Vec<KeyRange>,
    /// What it costs to look there.
    pub(super) cost: Cost,
}

impl Foreign {
    /// The collection of this name; none where there is none.
    pub(super) fn open(name: &str, path: &Path, running: &Running<'_>) -> Option<Foreign> {
        let collection = running.context.view.collection(running.context.db, name)?;
        let text = path.to_string();
        let first = |index: &&Index| {
            let spec = index.spec();
            index.is_ready() && spec.partial.is_none() && spec.fields.first().is_some_and(|field| field.text == text)
        };
        let way = if text == "_id" {
            Way::Id
        } else {
            // Of several the one with the fewest fields has the shortest walk.
            let best = collection.indexes().iter().filter(first).min_by_key(|index| index.spec().fields.len());
            best.map_or(Way::None, |index| {
                index.note_use(running.context.now_ms);
                Way::Index(index.clone())
            })
        };
        Some(Foreign { collection, path: path.clone(), way })
    }

    /// What a look at every document costs.
    pub(super) fn cost_of_scan(&self) -> Cost {
        cost_of_scan(self.collection.count())
    }

    /// Where an index has the documents with one of these values; none where no index can say.
    pub(super) fn places(&self, values: &[ValueRef<'_>], running: &Running<'_>) -> Result<Option<Places>, Failure> {
        match &self.way {
            Way::None => Ok(None),
            Way::Id => {
                let mut ids: Vec<Vec<u8>> = values.iter().flat_map(|value| id_candidates(*value)).collect();
                ids.sort_unstable();
                ids.dedup();
                let cost = cost_of_lookup(ids.len(), values.len() as u64);
                Ok(Some(Places { ids, ranges: Vec::new(), cost }))
            }
            Way::Index(index) => {
                let intervals = values.iter().flat_map(|value| Bounds::equal(*value).intervals().to_vec()).collect();
                let bounds = Bounds::new(intervals, false);
                if index.spec().definition.sparse && bounds.has_missing() {
                    return Ok(None);
                }
                let (ranges, _) = index.spec().key_ranges(std::slice::from_ref(&bounds));
                let mut entries = 0;
                for range in &ranges {
                    running.step()?;
                    entries += running.context.view.trees().count(index, range)?;
                }
                let cost = cost_of_lookup(ranges.len(), entries);
                Ok(Some(Places { ids: Vec::new(), ranges, cost }))
            }
        }
    }

    /// The documents at these places that have one of the values, in natural order.
    pub(super) fn found(&self, keys: Keys, places: &Places, running: &Running<'_>) -> Result<Found, Failure> {
        let view = running.context.view;
        let mut records = Vec::new();
        for id in &places.ids {
            running.examined.borrow_mut().keys += 1;
            records.extend(view.find_id(&self.collection, id)?);
        }
        if let Way::Index(index) = &self.way {
            for range in &places.ranges {
                let mut walk = view.trees().walk(index, range, false)?;
                while let Some(entry) = walk.entry() {
                    running.step()?;
                    running.examined.borrow_mut().keys += 1;
                    records.push(entry.record);
                    walk.advance()?;
                }
            }
        }
        records.sort_unstable();
        records.dedup();
        let mut held = running.account.part();
        held.force(records.capacity() * size_of::<RecordId>() + keys.size());
        Ok(Found { foreign: self.clone(), keys, way: Candidates::Records(records.into_iter()), _held: held })
    }

    /// The documents that have one of the values, found by a look at all.
    pub(super) fn scanned(&self, keys: Keys, running: &Running<'_>) -> Found {
        let scan = running.context.view.scan(&self.collection);
        let mut held = running.account.part();
        held.force(keys.size());
        Found { foreign: self.clone(), keys, way: Candidates::Scan(Box::new(scan)), _held: held }
    }

    /// Every document.
    pub(super) fn scan(&self, running: &Running<'_>) -> Scan {
        running.context.view.scan(&self.collection)
    }

    /// Hands the bytes of each value that a document has at the path to `each` until it answers true; whether it did.
    pub(super) fn any_key(
        &self,
        root: RawObject<'_>,
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> bool {
        self.path.any(root, Leaf::Each, &mut |value| {
            buffer.clear();
            ordered::put(buffer, value.unwrap_or(ValueRef::Null));
            each(buffer)
        })
    }
}

/// Documents that have one of some values, in natural order.
#[derive(Debug)]
pub(super) struct Found {
    foreign: Foreign,
    keys: Keys,
    way: Candidates,
    _held: Held,
}

#[derive(Debug)]
enum Candidates {
    Records(std::vec::IntoIter<RecordId>),
    Scan(Box<Scan>),
}

impl Found {
    /// The next one with its record.
    pub(super) fn next_record(&mut self, running: &Running<'_>) -> Result<Option<(RecordId, Row)>, Failure> {
        let mut buffer = Vec::new();
        loop {
            running.step()?;
            let next = match &mut self.way {
                Candidates::Scan(scan) => match scan.next() {
                    Some(scanned) => scanned?,
                    None => return Ok(None),
                },
                Candidates::Records(records) => {
                    let Some(record) = records.next() else { return Ok(None) };
                    let Some(document) = running.context.view.record(&self.foreign.collection, record)? else {
                        continue;
                    };
                    (record, document)
                }
            };
            running.examined.borrow_mut().documents += 1;
            let (record, document) = next;
            if self.foreign.any_key(document.root(), &mut buffer, &mut |key| self.keys.has(key)) {
                return Ok(Some((record, Row::Stored(document))));
            }
        }
    }
}

impl Rows for Found {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.next_record(running)?.map(|(_, row)| row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_storage::document::json::{ParseLimits, parse_value, render_value};

    #[test]
    fn values_from_which_a_join_starts() {
        for (document, path, expected) in [
            (r#"{"a":1}"#, "a", "1"),
            (r#"{}"#, "a", "null"),
            (r#"{"a":null}"#, "a", "null"),
            (r#"{"a":[]}"#, "a", "null"),
            (r#"{"a":[1,null,[2]]}"#, "a", "1 null [2]"),
            (r#"{"a":{"b":2}}"#, "a.b", "2"),
            (r#"{"a":5}"#, "a.b", "null"),
            (r#"{"a":[{"b":1},{"c":2},{"b":[3,4]},5]}"#, "a.b", "1 3 4"),
            (r#"{"a":[7,8]}"#, "a.1", "8"),
            (r#"{"a":[7,8]}"#, "a.2", "null"),
            (r#"{"a":[[{"b":1}],[{"b":2}]]}"#, "a.1.0.b", "2"),
            (r#"{"a":{"0":9}}"#, "a.0", "9"),
        ] {
            let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
            let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
            let mut texts = Vec::new();
            for value in values_at(root, &Path::new(path)) {
                let mut text = Vec::new();
                render_value(&mut text, value);
                texts.push(String::from_utf8(text).unwrap());
            }
            assert_eq!(texts.join(" "), expected, "{path} in {document}");
        }
    }

    #[test]
    fn keys_are_compared_by_value() {
        let keys = Keys::of(&[ValueRef::Int32(5), ValueRef::Double(5.0), ValueRef::String("a")]);
        assert_eq!(keys.iter().count(), 2);
        assert!(keys.has(&key(ValueRef::Int64(5))) && !keys.has(&key(ValueRef::Null)));
    }
}
