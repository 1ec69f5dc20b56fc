//! From bounds on an index's fields to ranges of its keys.

use super::entry::SHORTENED_BYTES;
use super::spec::IndexSpec;
use crate::document::bounds::{Bounds, Interval};
use crate::document::ordered::after;
use crate::trees::KeyRange;

impl IndexSpec {
    /// The ranges of keys of the entries whose first fields lie inside these bounds, ascending. All bounds but the last
    /// must be points: what is in one range then differs only in the last field and those after it. Also whether a bound
    /// was too long and had to be cut: then there may be others in the ranges.
    pub fn key_ranges(&self, bounds: &[Bounds]) -> (Vec<KeyRange>, bool) {
        let Some((last, points)) = bounds.split_last() else { return (vec![KeyRange::full()], false) };
        let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
        for (field, bounds) in self.fields.iter().zip(points) {
            let mut values: Vec<Vec<u8>> =
                bounds.intervals().iter().filter_map(Interval::as_point).map(|p| turned(p, field.descending)).collect();
            values.sort_unstable();
            prefixes = prefixes.iter().flat_map(|p| values.iter().map(move |v| [&**p, &**v].concat())).collect();
        }
        let descending = self.fields.get(points.len()).is_some_and(|field| field.descending);
        let mut ranges: Vec<KeyRange> = Vec::new();
        let mut cut = false;
        for prefix in &prefixes {
            let of_prefix = last.intervals().iter().filter_map(|interval| range(prefix, interval, descending));
            let mut of_prefix: Vec<KeyRange> = of_prefix.collect();
            if descending {
                of_prefix.reverse();
            }
            ranges.extend(of_prefix);
        }
        for range in &mut ranges {
            cut |= shorten(range);
        }
        if cut {
            // Bounds that differ only in what was cut off are one.
            ranges.dedup_by(|next, last| {
                let meets = last.to.as_ref().is_none_or(|to| next.from < *to);
                if meets && last.to.is_some() && next.to.as_ref().is_none_or(|to| Some(to) > last.to.as_ref()) {
                    last.to.clone_from(&next.to);
                }
                meets
            });
        }
        (ranges, cut)
    }
}

fn turned(bytes: &[u8], descending: bool) -> Vec<u8> {
    if descending { bytes.iter().map(|byte| !*byte).collect() } else { bytes.to_vec() }
}

/// None where nothing can be inside.
fn range(prefix: &[u8], interval: &Interval, descending: bool) -> Option<KeyRange> {
    let (low, high) = (interval.low.place(), interval.high.place());
    // In a descending field what is at or after a place comes before all that begins with its complement and less.
    let (from, to) = if descending {
        let from = match high {
            Some(high) => after(&turned(&high, true))?,
            None => Vec::new(),
        };
        (from, after(&turned(&low?, true)))
    } else {
        (low?, high)
    };
    let from = [prefix, &from].concat();
    let to = match to {
        Some(to) => Some([prefix, &to].concat()),
        None => after(prefix),
    };
    Some(KeyRange { from, to })
}

/// Long fields are shortened, so nothing can be said of what comes after that.
fn shorten(range: &mut KeyRange) -> bool {
    let cut = range.from.len() > SHORTENED_BYTES;
    range.from.truncate(SHORTENED_BYTES);
    match &range.to {
        Some(to) if to.len() > SHORTENED_BYTES => {
            range.to = to.get(..SHORTENED_BYTES).and_then(after);
            true
        }
        _ => cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::bounds::Edge;
    use crate::document::json::{ParseLimits, any_value, parse_value};
    use crate::document::value::{Object, Value};
    use crate::document::{RawObject, ValueRef, codec, order};
    use crate::index::spec::IndexDefinition;
    use crate::record_id::RecordId;
    use proptest::prelude::*;

    fn spec(keys: &str) -> IndexSpec {
        IndexSpec::new(IndexDefinition { name: "i".into(), keys: keys.into(), ..IndexDefinition::default() }).unwrap()
    }

    fn inside(ranges: &[KeyRange], key: &[u8]) -> bool {
        ranges.iter().any(|r| key >= r.from.as_slice() && r.to.as_ref().is_none_or(|to| key < to.as_slice()))
    }

    fn key(spec: &IndexSpec, values: &[&Value]) -> Vec<u8> {
        let names = ["a", "b"];
        let members = values.iter().zip(names).map(|(value, name)| (name.to_owned(), (*value).clone())).collect();
        let body = codec::pack_object(&Object(members));
        spec.entries(RawObject::from_body(&body), RecordId(1)).unwrap().keys.remove(0)
    }

    #[test]
    fn long_bounds_are_cut() {
        let spec = spec(r#"{"a":-1}"#);
        let text = "x".repeat(9000);
        let (ranges, cut) = spec.key_ranges(&[Bounds::equal(ValueRef::String(&text))]);
        assert!(cut);
        let packed = parse_value(format!(r#"{{"a":"{text}"}}"#).as_bytes(), ParseLimits::default()).unwrap();
        let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
        assert!(inside(&ranges, &spec.entries(root, RecordId(1)).unwrap().keys[0]));
        let several = Bounds::equal(ValueRef::String(&format!("{text}1")));
        assert_eq!(spec.key_ranges(&[Bounds::equal(ValueRef::String(&text)).union(&several)]).0.len(), 1);
    }

    fn scalar() -> impl Strategy<Value = Value> {
        any_value().prop_filter("no arrays", |value| !matches!(value, Value::Array(_)))
    }

    proptest! {
        /// Keys are inside exactly when their values are, ascending and descending, behind a point.
        #[test]
        fn ranges_hold_what_the_bounds_hold(x in scalar(), low in scalar(), high in scalar(), point in scalar()) {
            let packed: Vec<_> = [&x, &low, &high, &point].into_iter().map(codec::pack_value).collect();
            let [x_ref, low_ref, high_ref, point_ref] = [0, 1, 2, 3].map(|at: usize| packed[at].get());
            for (open, keys) in [(false, r#"{"a":1}"#), (true, r#"{"a":-1}"#)] {
                let edges = if open {
                    Interval { low: Edge::after(low_ref), high: Edge::before(high_ref) }
                } else {
                    Interval { low: Edge::before(low_ref), high: Edge::after(high_ref) }
                };
                let bounds = Bounds::new(vec![edges], true);
                let (above, below) = (order::compare(low_ref, x_ref), order::compare(x_ref, high_ref));
                let expected = if open { above.is_lt() && below.is_lt() } else { above.is_le() && below.is_le() };
                let single = spec(keys);
                prop_assert_eq!(inside(&single.key_ranges(std::slice::from_ref(&bounds)).0, &key(&single, &[&x])), expected);
                for keys in [r#"{"a":1,"b":1}"#, r#"{"a":-1,"b":-1}"#, r#"{"a":1,"b":-1}"#] {
                    let double = spec(keys);
                    let scalar_point = Bounds::new(vec![Interval::point(point_ref)], true);
                    let (ranges, _) = double.key_ranges(&[scalar_point, bounds.clone()]);
                    prop_assert_eq!(inside(&ranges, &key(&double, &[&point, &x])), expected);
                    prop_assert!(!expected || order::compare(x_ref, point_ref).is_eq()
                        || !inside(&ranges, &key(&double, &[&x, &x])));
                }
            }
        }
    }
}
