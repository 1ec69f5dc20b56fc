//! Bounds: between which values a test's matches lie, in the order of [`super::ordered`].
//!
//! What a filter's test knows of its matches and an index can use. Does not know indexes.
//!
//! Invariant: a document that passes a test has, among the values that the test's path reaches, one inside its bounds.

use super::codec::ValueRef;
use super::json::{put_double, put_string};
use super::ordered::{self, Decoded, after, class};

/// A place between values: before or after all whose bytes begin with these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    bytes: Vec<u8>,
    after: bool,
}

impl Edge {
    /// Before this value, or at it.
    pub fn before(value: ValueRef<'_>) -> Edge {
        Edge { bytes: end_bytes(Some(value)), after: false }
    }

    /// After this value.
    pub fn after(value: ValueRef<'_>) -> Edge {
        Edge { bytes: end_bytes(Some(value)), after: true }
    }

    fn class(class: u8) -> Edge {
        Edge { bytes: vec![class], after: false }
    }

    /// The first byte string at or after the edge; none when all are before it.
    pub fn place(&self) -> Option<Vec<u8>> {
        if self.after { after(&self.bytes) } else { Some(self.bytes.clone()) }
    }
}

fn end_bytes(value: Option<ValueRef<'_>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    ordered::put_end(&mut bytes, value);
    bytes
}

/// The values between two edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Where it begins.
    pub low: Edge,
    /// Where it ends.
    pub high: Edge,
}

impl Interval {
    /// Exactly this value.
    pub fn point(value: ValueRef<'_>) -> Interval {
        Interval { low: Edge::before(value), high: Edge::after(value) }
    }

    /// Nothing where the path ends.
    pub fn missing() -> Interval {
        Interval::class(class::MISSING)
    }

    /// All values of a class.
    pub fn class(class: u8) -> Interval {
        let edge = |after| Edge { bytes: vec![class], after };
        Interval { low: edge(false), high: edge(true) }
    }

    /// All texts that begin with these bytes.
    pub fn text_prefix(prefix: &[u8]) -> Interval {
        let edge = |after| Edge { bytes: ordered::text_prefix(prefix), after };
        Interval { low: edge(false), high: edge(true) }
    }

    /// Everything.
    pub fn full() -> Interval {
        Interval { low: Edge::class(class::MIN_KEY), high: Edge::class(class::LIMIT) }
    }

    /// The bytes of the one value that is inside; none when there may be more.
    pub fn as_point(&self) -> Option<&[u8]> {
        let one = self.low.bytes == self.high.bytes && !self.low.after && self.high.after;
        let whole = ordered::length(&self.low.bytes) == Some(self.low.bytes.len());
        (one && whole).then_some(self.low.bytes.as_slice())
    }

    fn is_empty(&self) -> bool {
        compare(&self.low, &self.high).is_ge()
    }
}

fn compare(a: &Edge, b: &Edge) -> std::cmp::Ordering {
    match (a.place(), b.place()) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// A set of values, as intervals in ascending order that do not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    intervals: Vec<Interval>,
    /// Also the other way round: a document that has a value inside passes the test.
    pub exact: bool,
}

impl Bounds {
    /// The values of any of these intervals.
    pub fn new(mut intervals: Vec<Interval>, exact: bool) -> Bounds {
        intervals.retain(|interval| !interval.is_empty());
        intervals.sort_by(|a, b| compare(&a.low, &b.low));
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for interval in intervals {
            match merged.last_mut() {
                Some(last) if compare(&interval.low, &last.high).is_le() => {
                    if compare(&interval.high, &last.high).is_gt() {
                        last.high = interval.high;
                    }
                }
                _ => merged.push(interval),
            }
        }
        Bounds { intervals: merged, exact }
    }

    /// All values.
    pub fn full() -> Bounds {
        Bounds { intervals: vec![Interval::full()], exact: false }
    }

    /// Equality with one value, also as an element of an array or as a whole array.
    pub fn equal(value: ValueRef<'_>) -> Bounds {
        match value {
            // Missing is null to an equality; a path that reaches nothing at all has a missing key and does not match.
            ValueRef::Null => Bounds::new(vec![Interval::missing(), Interval::point(value)], false),
            ValueRef::Array(array) => match array.iter().next() {
                None => Bounds::new(vec![Interval::point(value)], true),
                // An array that is an element, or one whose elements are the keys: then the first is one of them.
                Some(first) => Bounds::new(vec![Interval::point(value), Interval::point(first)], false),
            },
            _ => Bounds::new(vec![Interval::point(value)], true),
        }
    }

    /// All values but the missing one.
    pub fn present() -> Bounds {
        let (all, missing) = (Interval::full(), Interval::missing());
        let below = Interval { low: all.low, high: missing.low };
        Bounds::new(vec![below, Interval { low: missing.high, high: all.high }], true)
    }

    /// The intervals, ascending.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// All values from the first to the last.
    #[must_use]
    pub fn hull(&self) -> Bounds {
        let ends = self.intervals.first().zip(self.intervals.last());
        let hull = ends.map(|(first, last)| Interval { low: first.low.clone(), high: last.high.clone() });
        Bounds { intervals: hull.into_iter().collect(), exact: false }
    }

    /// Whether every value is inside.
    pub fn is_full(&self) -> bool {
        self.intervals == [Interval::full()]
    }

    /// Whether a missing value is inside.
    pub fn has_missing(&self) -> bool {
        !self.intersect(&Bounds::new(vec![Interval::missing()], true)).intervals.is_empty()
    }

    /// The values of both.
    #[must_use]
    pub fn union(&self, other: &Bounds) -> Bounds {
        Bounds::new([&*self.intervals, &*other.intervals].concat(), self.exact && other.exact)
    }

    /// The values that both have.
    #[must_use]
    pub fn intersect(&self, other: &Bounds) -> Bounds {
        let mut found = Vec::new();
        let (mut left, mut right) = (self.intervals.iter().peekable(), other.intervals.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let low = if compare(&a.low, &b.low).is_ge() { &a.low } else { &b.low };
            let a_ends_first = compare(&a.high, &b.high).is_le();
            let high = if a_ends_first { &a.high } else { &b.high };
            found.push(Interval { low: low.clone(), high: high.clone() });
            if a_ends_first {
                left.next()
            } else {
                right.next()
            };
        }
        Bounds::new(found, self.exact && other.exact)
    }

    /// The values that are not in it; none unless it is exact. As exact as it was only where a document has one value.
    pub fn complement(&self) -> Option<Bounds> {
        if !self.exact {
            return None;
        }
        let mut found = Vec::new();
        let mut low = Interval::full().low;
        for interval in &self.intervals {
            found.push(Interval { low, high: interval.low.clone() });
            low = interval.high.clone();
        }
        found.push(Interval { low, high: Interval::full().high });
        Some(Bounds::new(found, false))
    }
}

/// As MongoDB writes them: `[5, 9)`.
impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.low.after && self.low.bytes.len() > 1 { "(" } else { "[" })?;
        write!(f, "{}, {}", described(&self.low), described(&self.high))?;
        f.write_str(if self.high.after { "]" } else { ")" })
    }
}

fn described(edge: &Edge) -> String {
    let mut bytes = edge.bytes.as_slice();
    let name = match bytes {
        [class::MIN_KEY] => "MinKey",
        [class::EMPTY_ARRAY] => "[]",
        [class::MISSING] => "missing",
        [class::NULL] => "null",
        [class::NUMBER] => "number",
        [class::STRING] => "string",
        [class::OBJECT] => "object",
        [class::ARRAY] => "array",
        [class::BINARY] => "binData",
        [class::OBJECT_ID] => "objectId",
        [class::BOOL] => "bool",
        [class::DATE] => "date",
        [class::TIMESTAMP] => "timestamp",
        [class::REGEX] => "regex",
        [class::MAX_KEY | class::LIMIT] => "MaxKey",
        _ => "",
    };
    if !name.is_empty() {
        return name.to_owned();
    }
    let mut out = Vec::new();
    match ordered::decode(&mut bytes) {
        Some(Decoded::Number(n)) if n.fract() == 0.0 && n.abs() < 1e15 => return format!("{n:.0}"),
        Some(Decoded::Number(n)) if n.is_finite() => put_double(&mut out, n),
        Some(Decoded::Number(n)) => return n.to_string(),
        Some(Decoded::String(text)) => put_string(&mut out, &text),
        Some(Decoded::ObjectId(id)) => return format!("ObjectId({})", hex::encode(id)),
        Some(Decoded::Bool(flag)) => return flag.to_string(),
        Some(Decoded::Date(ms)) => return format!("date {ms}"),
        // The beginning of a text has no end.
        _ => match edge.bytes.split_first() {
            Some((&class::STRING, text)) => put_string(&mut out, &String::from_utf8_lossy(text)),
            _ => return hex::encode(&edge.bytes),
        },
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(n: i32) -> ValueRef<'static> {
        ValueRef::Int32(n)
    }

    fn range(low: i32, high: i32) -> Bounds {
        Bounds::new(vec![Interval { low: Edge::before(int(low)), high: Edge::before(int(high)) }], true)
    }

    fn show(bounds: &Bounds) -> String {
        bounds.intervals().iter().map(Interval::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sets_of_values() {
        assert_eq!(show(&range(1, 5).union(&range(3, 9))), "[1, 9)");
        assert_eq!(show(&range(1, 5).union(&range(5, 9))), "[1, 9)");
        assert_eq!(show(&range(1, 5).intersect(&range(3, 9))), "[3, 5)");
        assert_eq!(show(&range(1, 3).intersect(&range(5, 9))), "");
        assert_eq!(show(&range(5, 1)), "");
        let both = range(1, 3).union(&range(5, 9));
        assert_eq!(show(&both.intersect(&range(2, 6))), "[2, 3) [5, 6)");
        assert_eq!(show(&both.complement().unwrap()), "[MinKey, 1) [3, 5) [9, MaxKey)");
        assert!(both.union(&Bounds::full()).is_full());
    }

    #[test]
    fn equality_reaches_where_matches_are() {
        assert_eq!(show(&Bounds::equal(ValueRef::Null)), "[missing, missing] [null, null]");
        assert_eq!(show(&Bounds::equal(int(5))), "[5, 5]");
        assert!(Bounds::equal(ValueRef::Null).has_missing());
        assert!(!Bounds::equal(int(5)).has_missing());
        assert!(Bounds::full().has_missing());
        assert!(Interval::point(int(5)).as_point().is_some());
        assert!(Interval::class(class::STRING).as_point().is_none());
        assert!(Interval::class(class::NULL).as_point().is_some());
    }

    #[test]
    fn texts_that_begin_alike() {
        assert_eq!(Interval::text_prefix(b"ab").to_string(), "[\"ab\", \"ab\"]");
        assert!(Interval::text_prefix(b"ab").as_point().is_none());
        let inside = Bounds::new(vec![Interval::text_prefix(b"ab")], false);
        assert_eq!(inside.intersect(&Bounds::equal(ValueRef::String("abc"))).intervals().len(), 1);
        assert!(inside.intersect(&Bounds::equal(ValueRef::String("ac"))).intervals().is_empty());
    }
}
