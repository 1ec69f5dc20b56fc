//! MongoDB's order of values: first by class of type, then by value. Numbers of all types compare by exact value.
//!
//! A total order: NaN is the lowest number and equal to itself, the two zeros are equal.

use std::cmp::Ordering;

use dec::{Context, Decimal128};

use super::codec::{RawArray, RawObject, ValueRef};
use super::value::{Kind, Value};

/// The rank of a type among types; numbers share one.
pub fn class(kind: Kind) -> u8 {
    match kind {
        Kind::MinKey => 0,
        Kind::Null => 1,
        Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Decimal => 2,
        Kind::String => 3,
        Kind::Object => 4,
        Kind::Array => 5,
        Kind::Binary => 6,
        Kind::ObjectId => 7,
        Kind::Bool => 8,
        Kind::Date => 9,
        Kind::Timestamp => 10,
        Kind::Regex => 11,
        Kind::MaxKey => 12,
    }
}

/// Compares two values. Recursion is bounded by the nesting the parser allowed.
pub fn compare(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    use ValueRef as V;
    match (a, b) {
        (V::String(a), V::String(b)) => a.cmp(b),
        (V::Object(a), V::Object(b)) => compare_objects(a, b),
        (V::Array(a), V::Array(b)) => compare_arrays(a, b),
        (V::Binary { subtype: s, bytes: a }, V::Binary { subtype: t, bytes: b }) => {
            a.len().cmp(&b.len()).then(s.cmp(&t)).then_with(|| a.cmp(b))
        }
        (V::ObjectId(a), V::ObjectId(b)) => a.cmp(&b),
        (V::Bool(a), V::Bool(b)) => a.cmp(&b),
        (V::Date(a), V::Date(b)) => a.cmp(&b),
        (V::Timestamp { seconds: s, increment: i }, V::Timestamp { seconds: t, increment: j }) => {
            s.cmp(&t).then(i.cmp(&j))
        }
        (V::Regex { pattern: p, options: o }, V::Regex { pattern: q, options: r }) => p.cmp(q).then_with(|| o.cmp(r)),
        _ if a.kind().is_number() && b.kind().is_number() => compare_numbers(a, b),
        _ => class(a.kind()).cmp(&class(b.kind())),
    }
}

/// Compares two owned values. Recursion is bounded by their nesting.
pub fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let members = |(name_a, a): &(String, Value), (name_b, b): &(String, Value)| {
                let kinds = class(a.kind()).cmp(&class(b.kind()));
                kinds.then_with(|| name_a.cmp(name_b)).then_with(|| compare_values(a, b))
            };
            let mut pairs = a.0.iter().zip(&b.0).map(|(a, b)| members(a, b));
            pairs.find(|order| order.is_ne()).unwrap_or_else(|| a.0.len().cmp(&b.0.len()))
        }
        (Value::Array(a), Value::Array(b)) => {
            let mut pairs = a.iter().zip(b).map(|(a, b)| compare_values(a, b));
            pairs.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (a, b) => match (scalar(a), scalar(b)) {
            (Some(a), Some(b)) => compare(a, b),
            _ => class(a.kind()).cmp(&class(b.kind())),
        },
    }
}

/// A value that is neither an object nor an array, borrowed.
fn scalar(value: &Value) -> Option<ValueRef<'_>> {
    Some(match value {
        Value::MinKey => ValueRef::MinKey,
        Value::Null => ValueRef::Null,
        Value::Int32(n) => ValueRef::Int32(*n),
        Value::Int64(n) => ValueRef::Int64(*n),
        Value::Double(n) => ValueRef::Double(*n),
        Value::Decimal(n) => ValueRef::Decimal(*n),
        Value::String(text) => ValueRef::String(text),
        Value::Object(_) | Value::Array(_) => return None,
        Value::Binary { subtype, bytes } => ValueRef::Binary { subtype: *subtype, bytes },
        Value::ObjectId(id) => ValueRef::ObjectId(*id),
        Value::Bool(flag) => ValueRef::Bool(*flag),
        Value::Date(ms) => ValueRef::Date(*ms),
        Value::Timestamp { seconds, increment } => ValueRef::Timestamp { seconds: *seconds, increment: *increment },
        Value::Regex { pattern, options } => ValueRef::Regex { pattern, options },
        Value::MaxKey => ValueRef::MaxKey,
    })
}

fn compare_objects(a: RawObject<'_>, b: RawObject<'_>) -> Ordering {
    let (mut left, mut right) = (a.iter(), b.iter());
    loop {
        match (left.next(), right.next()) {
            (Some((name_a, value_a)), Some((name_b, value_b))) => {
                let order = class(value_a.kind())
                    .cmp(&class(value_b.kind()))
                    .then_with(|| name_a.cmp(name_b))
                    .then_with(|| compare(value_a, value_b));
                if order.is_ne() {
                    return order;
                }
            }
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        }
    }
}

fn compare_arrays(a: RawArray<'_>, b: RawArray<'_>) -> Ordering {
    let (mut left, mut right) = (a.iter(), b.iter());
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) => {
                let order = compare(a, b);
                if order.is_ne() {
                    return order;
                }
            }
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
        }
    }
}

fn compare_numbers(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    match (integer(a), integer(b), a, b) {
        (Some(a), Some(b), _, _) => a.cmp(&b),
        (_, _, ValueRef::Double(a), ValueRef::Double(b)) => compare_doubles(a, b),
        (Some(a), _, _, ValueRef::Double(b)) => compare_integer(a, b),
        (_, Some(b), ValueRef::Double(a), _) => compare_integer(b, a).reverse(),
        // A decimal is involved. Doubles become decimals of 34 digits, twice what tells any two doubles apart.
        _ => match (to_decimal(a), to_decimal(b)) {
            (Some(a), Some(b)) => compare_decimals(a, b),
            _ => Ordering::Equal,
        },
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int32(n) => Some(i64::from(n)),
        ValueRef::Int64(n) => Some(n),
        _ => None,
    }
}

fn compare_doubles(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Exact, also where a double can no longer tell neighbouring integers apart.
fn compare_integer(a: i64, b: f64) -> Ordering {
    if b.is_nan() || b < i64::MIN as f64 {
        return Ordering::Greater;
    }
    // 2^63 itself: the cast of i64::MAX rounds up to it.
    if b >= i64::MAX as f64 {
        return Ordering::Less;
    }
    a.cmp(&(b.trunc() as i64)).then_with(|| 0.0_f64.partial_cmp(&b.fract()).unwrap_or(Ordering::Equal))
}

fn compare_decimals(a: Decimal128, b: Decimal128) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// A number as a decimal: integers exactly, doubles rounded to 34 digits. None for what is no number.
pub fn to_decimal(value: ValueRef<'_>) -> Option<Decimal128> {
    match value {
        ValueRef::Int32(n) => Some(Decimal128::from(n)),
        ValueRef::Int64(n) => Some(Decimal128::from(n)),
        ValueRef::Decimal(n) => Some(n),
        ValueRef::Double(n) if n.is_nan() => Some(Decimal128::NAN),
        ValueRef::Double(n) => Context::<Decimal128>::default().parse(format!("{n:.33e}")).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::codec::{Packed, pack_value};
    use crate::document::json::{ParseLimits, parse_value};
    use proptest::prelude::*;

    fn packed(text: &str) -> Packed {
        parse_value(text.as_bytes(), ParseLimits::default()).unwrap()
    }

    #[test]
    fn a_ladder_of_values() {
        let ladder = [
            r#"{"$minKey":1}"#,
            "null",
            r#"{"$numberDouble":"NaN"}"#,
            r#"{"$numberDouble":"-Infinity"}"#,
            "-1e300",
            "-9223372036854775808",
            "-1",
            "0",
            r#"{"$numberDecimal":"0.1"}"#,
            "0.1",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            r#"{"$numberDouble":"Infinity"}"#,
            r#""""#,
            r#""a""#,
            "{}",
            r#"{"a":1}"#,
            r#"{"b":1}"#,
            r#"{"a":"x"}"#,
            "[]",
            "[1]",
            "[1,2]",
            "[2]",
            r#"{"$binary":{"base64":"","subType":"00"}}"#,
            r#"{"$binary":{"base64":"AQ==","subType":"00"}}"#,
            r#"{"$binary":{"base64":"AA==","subType":"01"}}"#,
            r#"{"$oid":"0123456789abcdef01234567"}"#,
            "false",
            "true",
            r#"{"$date":-5}"#,
            r#"{"$date":5}"#,
            r#"{"$timestamp":{"t":1,"i":2}}"#,
            r#"{"$regularExpression":{"pattern":"a","options":""}}"#,
            r#"{"$maxKey":1}"#,
        ];
        for (i, a) in ladder.iter().enumerate() {
            for (j, b) in ladder.iter().enumerate() {
                let (left, right) = (packed(a), packed(b));
                assert_eq!(compare(left.get(), right.get()), i.cmp(&j), "{a} and {b}");
                let owned = compare_values(&left.get().to_value(), &right.get().to_value());
                assert_eq!(owned, i.cmp(&j), "{a} and {b}, owned");
            }
        }
    }

    #[test]
    fn equal_by_value() {
        for (a, b) in [
            ("1", "1.0"),
            ("0", "-0.0"),
            ("1", r#"{"$numberDecimal":"1.00"}"#),
            ("0.5", r#"{"$numberDecimal":"0.5"}"#),
            (r#"{"$numberDouble":"NaN"}"#, r#"{"$numberDecimal":"NaN"}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[1.0,2]}"#),
        ] {
            assert_eq!(compare(packed(a).get(), packed(b).get()), Ordering::Equal, "{a} and {b}");
        }
    }

    proptest! {
        #[test]
        fn a_total_order(values in proptest::collection::vec(crate::document::json::any_value(), 3)) {
            let packed: Vec<Packed> = values.iter().map(pack_value).collect();
            let [a, b, c] = packed.as_slice() else { return Ok(()) };
            let (ab, bc, ac) = (compare(a.get(), b.get()), compare(b.get(), c.get()), compare(a.get(), c.get()));
            prop_assert_eq!(ab, compare(b.get(), a.get()).reverse());
            prop_assert_eq!(compare(a.get(), a.get()), Ordering::Equal);
            if ab == bc {
                prop_assert_eq!(ac, ab);
            }
        }
    }
}
