//! An order-preserving form of values: bytes that compare as [`super::order::compare`] compares the values.
//!
//! Equal values have equal bytes whatever their types (`5` and `5.0`), and no value's bytes begin another's, so several
//! values can stand one after the other in one key. Two things are told apart here that comparing documents does not know:
//! a missing value, and the place of an empty array in a sort (between MinKey and null, where BSON's undefined stands).
//! The layout is in `docs/formats.md`.

use std::cmp::Ordering;

use dec::Decimal128;

use super::codec::{RawArray, RawObject, ValueRef};
use super::order::{compare, to_decimal};
use super::value::Kind;

/// Ends a container; below every class.
const END: u8 = 0x00;

/// The first byte of a value: its type among the types.
pub mod class {
    /// MinKey.
    pub const MIN_KEY: u8 = 0x10;
    /// An array without elements where a path ends.
    pub const EMPTY_ARRAY: u8 = 0x14;
    /// Nothing where a path ends.
    pub const MISSING: u8 = 0x18;
    /// `null`
    pub const NULL: u8 = 0x1c;
    /// Numbers of every type.
    pub const NUMBER: u8 = 0x20;
    /// Strings.
    pub const STRING: u8 = 0x30;
    /// Objects.
    pub const OBJECT: u8 = 0x40;
    /// Arrays.
    pub const ARRAY: u8 = 0x50;
    /// Binary data.
    pub const BINARY: u8 = 0x60;
    /// ObjectIds.
    pub const OBJECT_ID: u8 = 0x70;
    /// Booleans.
    pub const BOOL: u8 = 0x80;
    /// Dates.
    pub const DATE: u8 = 0x90;
    /// Timestamps.
    pub const TIMESTAMP: u8 = 0xa0;
    /// Regular expressions.
    pub const REGEX: u8 = 0xb0;
    /// MaxKey.
    pub const MAX_KEY: u8 = 0xc0;
    /// Above every class.
    pub const LIMIT: u8 = 0xd0;
}

/// The class of a type.
pub fn class_of(kind: Kind) -> u8 {
    match kind {
        Kind::MinKey => class::MIN_KEY,
        Kind::Null => class::NULL,
        Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Decimal => class::NUMBER,
        Kind::String => class::STRING,
        Kind::Object => class::OBJECT,
        Kind::Array => class::ARRAY,
        Kind::Binary => class::BINARY,
        Kind::ObjectId => class::OBJECT_ID,
        Kind::Bool => class::BOOL,
        Kind::Date => class::DATE,
        Kind::Timestamp => class::TIMESTAMP,
        Kind::Regex => class::REGEX,
        Kind::MaxKey => class::MAX_KEY,
    }
}

/// Appends what stands where a path ends: a value, an empty array in its own place, or nothing.
pub fn put_end(out: &mut Vec<u8>, value: Option<ValueRef<'_>>) {
    match value {
        None => out.push(class::MISSING),
        Some(ValueRef::Array(array)) if array.is_empty() => out.push(class::EMPTY_ARRAY),
        Some(value) => put(out, value),
    }
}

/// Appends a value. Recursion is bounded by the nesting the parser allowed.
pub fn put(out: &mut Vec<u8>, value: ValueRef<'_>) {
    out.push(class_of(value.kind()));
    put_payload(out, value);
}

fn put_payload(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::MinKey | ValueRef::Null | ValueRef::MaxKey => {}
        ValueRef::Int32(_) | ValueRef::Int64(_) | ValueRef::Double(_) | ValueRef::Decimal(_) => put_number(out, value),
        ValueRef::String(text) => put_text(out, text.as_bytes()),
        ValueRef::Object(object) => put_object(out, object),
        ValueRef::Array(array) => put_array(out, array),
        ValueRef::Binary { subtype, bytes } => {
            out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            out.push(subtype);
            out.extend_from_slice(bytes);
        }
        ValueRef::ObjectId(id) => out.extend_from_slice(&id),
        ValueRef::Bool(b) => out.push(u8::from(b)),
        ValueRef::Date(ms) => out.extend_from_slice(&(ms as u64 ^ SIGN).to_be_bytes()),
        ValueRef::Timestamp { seconds, increment } => {
            out.extend_from_slice(&seconds.to_be_bytes());
            out.extend_from_slice(&increment.to_be_bytes());
        }
        ValueRef::Regex { pattern, options } => {
            put_text(out, pattern.as_bytes());
            put_text(out, options.as_bytes());
        }
    }
}

/// Members compare by class, then name, then value.
fn put_object(out: &mut Vec<u8>, object: RawObject<'_>) {
    for (name, value) in object.iter() {
        out.push(class_of(value.kind()));
        put_text(out, name.as_bytes());
        put_payload(out, value);
    }
    out.push(END);
}

fn put_array(out: &mut Vec<u8>, array: RawArray<'_>) {
    for element in array.iter() {
        put(out, element);
    }
    out.push(END);
}

/// A zero byte becomes `00 ff`, and `00 00` ends the text: less than any text that goes on.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(0, rest) {
        let (before, after) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        out.push(0xff);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

/// The bytes of a text up to where it ends: what all texts that begin with it begin with.
pub fn text_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut out = vec![class::STRING];
    put_text(&mut out, prefix);
    out.truncate(out.len() - 2);
    out
}

const SIGN: u64 = 1 << 63;
/// After the double: the number is that double.
const EXACT: u8 = 0;
/// After the double: the number is greater, and less than the next double; its decimal digits follow.
const BETWEEN: u8 = 1;

/// The bits of a double in ascending order. NaN is below all; both zeros are one.
fn ordered_bits(n: f64) -> u64 {
    if n.is_nan() {
        return 0;
    }
    let bits = if n == 0.0 { 0 } else { n.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The double in eight ordered bytes: the greatest that is not greater than the number. Then whether it is the number;
/// if not, the number in decimal.
fn put_number(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Int32(n) => put_double(out, f64::from(n)),
        ValueRef::Int64(n) if n.unsigned_abs() <= 1 << 53 => put_double(out, n as f64),
        ValueRef::Double(n) => put_double(out, n),
        ValueRef::Decimal(n) if n.is_nan() => put_double(out, f64::NAN),
        other => {
            let floor = floor(other);
            if compare(other, ValueRef::Double(floor)).is_eq() {
                return put_double(out, floor);
            }
            out.extend_from_slice(&ordered_bits(floor).to_be_bytes());
            out.push(BETWEEN);
            put_decimal(out, to_decimal(other).unwrap_or(Decimal128::ZERO));
        }
    }
}

fn put_double(out: &mut Vec<u8>, n: f64) {
    out.extend_from_slice(&ordered_bits(n).to_be_bytes());
    out.push(EXACT);
}

/// The greatest double that is not greater than this number.
fn floor(value: ValueRef<'_>) -> f64 {
    let near = match value {
        ValueRef::Int64(n) => n as f64,
        ValueRef::Decimal(n) => n.to_string().parse().unwrap_or(0.0),
        _ => 0.0,
    };
    if compare(ValueRef::Double(near), value) == Ordering::Greater { near.next_down() } else { near }
}

/// A decimal that is neither NaN nor infinite: sign, exponent, digits; complemented below zero.
fn put_decimal(out: &mut Vec<u8>, n: Decimal128) {
    let digits = n.coefficient_digits();
    let start = digits.iter().position(|d| *d != 0).unwrap_or(digits.len());
    let end = digits.iter().rposition(|d| *d != 0).map_or(start, |at| at + 1);
    let significant = digits.get(start..end).unwrap_or_default();
    // Of the first significant digit.
    let exponent = n.exponent() + (digits.len() - start) as i32;
    let first = out.len();
    out.extend_from_slice(&(((exponent + 0x4000) as u16) | 0x8000).to_be_bytes());
    // 1 to 10, so that 0 can end them.
    out.extend(significant.iter().map(|d| d + 1));
    out.push(0);
    if n.is_negative() {
        out.iter_mut().skip(first).for_each(|byte| *byte = !*byte);
    }
}

/// The bytes after all that begin with these; none when there are none.
pub fn after(bytes: &[u8]) -> Option<Vec<u8>> {
    let kept = bytes.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = bytes.get(..=kept)?.to_vec();
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    Some(next)
}

/// A value that can be read back from its bytes. The type of a number is not in them and is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// Nothing.
    Missing,
    /// `null`
    Null,
    /// A number, as a double.
    Number(f64),
    /// Text.
    String(String),
    /// An ObjectId.
    ObjectId([u8; 12]),
    /// A boolean.
    Bool(bool),
    /// A date.
    Date(i64),
}

/// Reads the first value and steps over it; none where it is one that cannot be read back.
pub fn decode(bytes: &mut &[u8]) -> Option<Decoded> {
    let (class, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(match *class {
        class::MISSING => Decoded::Missing,
        class::NULL => Decoded::Null,
        class::NUMBER => {
            let bits = u64::from_be_bytes(take(bytes)?);
            let [EXACT] = take(bytes)? else { return None };
            let bits = if bits & SIGN == 0 { !bits } else { bits & !SIGN };
            Decoded::Number(f64::from_bits(bits))
        }
        class::STRING => Decoded::String(take_text(bytes)?),
        class::OBJECT_ID => Decoded::ObjectId(take(bytes)?),
        class::BOOL => {
            let [flag] = take(bytes)?;
            Decoded::Bool(flag == 1)
        }
        class::DATE => Decoded::Date((u64::from_be_bytes(take(bytes)?) ^ SIGN) as i64),
        _ => return None,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let at = memchr::memchr(0, bytes)?;
        text.extend_from_slice(bytes.get(..at)?);
        let (mark, rest) = bytes.get(at + 1..)?.split_first()?;
        *bytes = rest;
        match *mark {
            0 => return String::from_utf8(text).ok(),
            _ => text.push(0),
        }
    }
}

/// How many bytes the first value takes; none where the bytes are no value (they were shortened).
pub fn length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    skip(&mut rest)?;
    Some(bytes.len() - rest.len())
}

fn skip(bytes: &mut &[u8]) -> Option<()> {
    let [class] = take(bytes)?;
    skip_payload(class, bytes)
}

// Descends one level of the value a call, so the nesting that the parser allowed bounds it.
fn skip_payload(class: u8, bytes: &mut &[u8]) -> Option<()> {
    match class {
        class::MIN_KEY | class::EMPTY_ARRAY | class::MISSING | class::NULL | class::MAX_KEY => Some(()),
        class::NUMBER => {
            let _: [u8; 8] = take(bytes)?;
            let [exact] = take(bytes)?;
            if exact == EXACT {
                return Some(());
            }
            let [sign, _] = take::<2>(bytes)?;
            let end = if sign & 0x80 == 0 { 0xff } else { 0 };
            let at = memchr::memchr(end, bytes)?;
            *bytes = bytes.get(at + 1..)?;
            Some(())
        }
        class::STRING => skip_text(bytes),
        class::OBJECT => loop {
            let [class] = take(bytes)?;
            if class == END {
                return Some(());
            }
            skip_text(bytes)?;
            skip_payload(class, bytes)?;
        },
        class::ARRAY => loop {
            if bytes.first() == Some(&END) {
                *bytes = bytes.get(1..)?;
                return Some(());
            }
            skip(bytes)?;
        },
        class::BINARY => {
            let length = u32::from_be_bytes(take(bytes)?) as usize;
            *bytes = bytes.get(1 + length..)?;
            Some(())
        }
        class::OBJECT_ID => take::<12>(bytes).map(|_| ()),
        class::BOOL => take::<1>(bytes).map(|_| ()),
        class::DATE | class::TIMESTAMP => take::<8>(bytes).map(|_| ()),
        class::REGEX => {
            skip_text(bytes)?;
            skip_text(bytes)
        }
        _ => None,
    }
}

fn skip_text(bytes: &mut &[u8]) -> Option<()> {
    loop {
        let at = memchr::memchr(0, bytes)?;
        let mark = *bytes.get(at + 1)?;
        *bytes = bytes.get(at + 2..)?;
        if mark == 0 {
            return Some(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::codec::{Packed, pack_value};
    use crate::document::json::{ParseLimits, any_value, parse_value};
    use proptest::prelude::*;

    fn packed(text: &str) -> Packed {
        parse_value(text.as_bytes(), ParseLimits::default()).unwrap()
    }

    fn bytes(value: ValueRef<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[track_caller]
    fn check(a: ValueRef<'_>, b: ValueRef<'_>) {
        let (x, y) = (bytes(a), bytes(b));
        assert_eq!(x.cmp(&y), compare(a, b), "{a:?} and {b:?}: {x:02x?} {y:02x?}");
        assert_eq!(length(&x), Some(x.len()), "{a:?}");
        if x != y {
            assert!(!y.starts_with(&x), "{a:?} begins {b:?}");
        }
    }

    #[test]
    fn numbers_of_all_types_are_in_one_order() {
        let numbers = [
            "0",
            "-0.0",
            "1",
            "1.5",
            "-1",
            "-1.5",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994.0",
            "-9007199254740993",
            "9223372036854775807",
            "9223372036854775808.0",
            "-9223372036854775808",
            "1e308",
            "-1e308",
            "5e-324",
            r#"{"$numberDouble":"NaN"}"#,
            r#"{"$numberDouble":"Infinity"}"#,
            r#"{"$numberDouble":"-Infinity"}"#,
            "0.1",
            r#"{"$numberDecimal":"0.1"}"#,
            r#"{"$numberDecimal":"0.10"}"#,
            r#"{"$numberDecimal":"0.1000000000000000055511151231257827"}"#,
            r#"{"$numberDecimal":"0.1000000000000000055511151231257828"}"#,
            r#"{"$numberDecimal":"-0.1"}"#,
            r#"{"$numberDecimal":"1E+400"}"#,
            r#"{"$numberDecimal":"2E+400"}"#,
            r#"{"$numberDecimal":"-1E+400"}"#,
            r#"{"$numberDecimal":"1E-400"}"#,
            r#"{"$numberDecimal":"-1E-400"}"#,
            r#"{"$numberDecimal":"-2E-400"}"#,
            r#"{"$numberDecimal":"-0E+10"}"#,
            r#"{"$numberDecimal":"NaN"}"#,
            r#"{"$numberDecimal":"Infinity"}"#,
            r#"{"$numberDecimal":"-Infinity"}"#,
            r#"{"$numberDecimal":"9007199254740993"}"#,
            r#"{"$numberDecimal":"9007199254740993.5"}"#,
            r#"{"$numberDecimal":"150E-2"}"#,
        ];
        for a in numbers {
            for b in numbers {
                check(packed(a).get(), packed(b).get());
            }
        }
    }

    #[test]
    fn ends_of_paths_have_their_places() {
        let end = |value: Option<&str>| {
            let value = value.map(packed);
            let mut out = Vec::new();
            put_end(&mut out, value.as_ref().map(Packed::get));
            out
        };
        let ladder = [Some(r#"{"$minKey":1}"#), Some("[]"), None, Some("null"), Some("-1"), Some("[1]")];
        assert!(ladder.windows(2).all(|pair| end(pair[0]) < end(pair[1])));
    }

    #[test]
    fn what_can_be_read_back_is() {
        for (text, value) in [
            ("null", Decoded::Null),
            ("5", Decoded::Number(5.0)),
            ("-2.5", Decoded::Number(-2.5)),
            (r#""a\u0000b""#, Decoded::String("a\0b".into())),
            ("true", Decoded::Bool(true)),
            (r#"{"$date":-5}"#, Decoded::Date(-5)),
        ] {
            let bytes = bytes(packed(text).get());
            let mut rest = bytes.as_slice();
            assert_eq!(decode(&mut rest), Some(value), "{text}");
            assert!(rest.is_empty());
        }
        assert_eq!(decode(&mut bytes(packed("[1]").get()).as_slice()), None);
    }

    #[test]
    fn prefixes_and_what_comes_after_them() {
        assert!(bytes(packed(r#""abc""#).get()).starts_with(&text_prefix(b"ab")));
        assert_eq!(after(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(after(&[0xff]), None);
    }

    proptest! {
        #[test]
        fn bytes_compare_as_values(a in any_value(), b in any_value()) {
            check(pack_value(&a).get(), pack_value(&b).get());
        }
    }
}
