//! `_id` and the text that is its key.
//!
//! The key of a number is its digits, of an ObjectId its 24 hexadecimal digits, of a string the string: `5` and `"5"`
//! are one id. A decimal's trailing zeros do not count, so that each number has few texts and a filter can look it up.

use std::borrow::Cow;

use dec::{Context, Decimal128};

use super::codec::ValueRef;
use crate::Error;

/// The longest id, in bytes.
pub const ID_BYTES_MAX: usize = 512;

/// The key of an `_id`, or why it can be none.
pub fn id_text<'a>(value: ValueRef<'a>) -> Result<Cow<'a, [u8]>, Error> {
    let text = match value {
        ValueRef::String(text) => Cow::Borrowed(text.as_bytes()),
        ValueRef::Int32(n) => Cow::Owned(n.to_string().into_bytes()),
        ValueRef::Int64(n) => Cow::Owned(n.to_string().into_bytes()),
        ValueRef::Double(n) => Cow::Owned(double_text(n)),
        ValueRef::Decimal(n) => Cow::Owned(decimal_text(n)),
        ValueRef::ObjectId(id) => Cow::Owned(hex::encode(id).into_bytes()),
        other => {
            let kind = other.kind().name();
            return Err(Error::BadDocument(format!("_id must be a string, a number or an ObjectId, not {kind}")));
        }
    };
    check_id(&text)?;
    Ok(text)
}

/// Refuses an id that is empty or too long.
pub fn check_id(text: &[u8]) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::BadDocument("_id is empty".into()));
    }
    if text.len() > ID_BYTES_MAX {
        return Err(Error::BadDocument(format!("_id has {} bytes, more than {ID_BYTES_MAX}", text.len())));
    }
    Ok(())
}

/// The keys under which a document may stand whose `_id` equals this value. Numbers compare by value whatever their
/// type, so `5` may stand under `5` and under `5.0`.
pub fn id_candidates(value: ValueRef<'_>) -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = id_text(value).map(Cow::into_owned).into_iter().collect();
    if !value.kind().is_number() {
        return texts;
    }
    let integer = value.to_value().as_integer();
    if integer == Some(0) {
        texts.extend([b"0".to_vec(), b"0.0".to_vec(), b"-0.0".to_vec()]);
    }
    if let Some(n) = integer {
        texts.push(n.to_string().into_bytes());
    }
    let decimal = super::order::to_decimal(value);
    let double = decimal.and_then(|d| d.to_string().parse::<f64>().ok());
    let equal = |other| super::order::compare(value, other).is_eq();
    texts.extend(decimal.filter(|d| equal(ValueRef::Decimal(*d))).map(decimal_text));
    texts.extend(double.filter(|d| equal(ValueRef::Double(*d))).map(double_text));
    texts.sort();
    texts.dedup();
    texts
}

fn double_text(n: f64) -> Vec<u8> {
    if n.is_nan() {
        return b"NaN".to_vec();
    }
    if n.is_infinite() {
        return if n > 0.0 { b"Infinity".to_vec() } else { b"-Infinity".to_vec() };
    }
    let mut out = Vec::new();
    super::json::put_double(&mut out, n);
    out
}

fn decimal_text(n: Decimal128) -> Vec<u8> {
    if n.is_nan() {
        return b"NaN".to_vec();
    }
    if n.is_zero() {
        return b"0".to_vec();
    }
    let reduced = Context::<Decimal128>::default().reduce(n);
    // Whole numbers of up to 34 digits read as digits, not as 1E+2.
    let whole = reduced.is_finite() && reduced.exponent() > 0 && reduced.exponent() + (reduced.digits() as i32) <= 34;
    if whole { reduced.to_standard_notation_string().into_bytes() } else { reduced.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::json::{ParseLimits, parse_value};

    fn packed(text: &str) -> crate::document::Packed {
        parse_value(text.as_bytes(), ParseLimits::default()).unwrap()
    }

    #[test]
    fn every_type_of_id_has_its_text() {
        for (json, text) in [
            (r#""a""#, "a"),
            ("5", "5"),
            ("5.0", "5.0"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e300", "1e300"),
            (r#"{"$oid":"0123456789ABCDEF01234567"}"#, "0123456789abcdef01234567"),
            (r#"{"$numberDecimal":"5.00"}"#, "5"),
            (r#"{"$numberDecimal":"500"}"#, "500"),
            (r#"{"$numberDecimal":"1.50"}"#, "1.5"),
            (r#"{"$numberDouble":"-Infinity"}"#, "-Infinity"),
        ] {
            assert_eq!(String::from_utf8_lossy(&id_text(packed(json).get()).unwrap()), text, "{json}");
        }
        for json in ["null", "true", "{}", "[]", r#""""#, r#"{"$date":5}"#] {
            assert!(id_text(packed(json).get()).is_err(), "{json}");
        }
        assert!(id_text(ValueRef::String(&"x".repeat(513))).is_err());
    }

    #[test]
    fn equal_numbers_share_a_candidate() {
        let numbers = ["5", "5.0", r#"{"$numberDecimal":"5.000"}"#, r#"{"$numberLong":"5"}"#];
        for a in numbers {
            for b in numbers {
                let key = id_text(packed(b).get()).unwrap().into_owned();
                assert!(id_candidates(packed(a).get()).contains(&key), "{a} finds {b}");
            }
        }
        for (a, b) in [("0", "-0.0"), ("-0.0", "0"), ("0.5", r#"{"$numberDecimal":"0.50"}"#)] {
            let key = id_text(packed(b).get()).unwrap().into_owned();
            assert!(id_candidates(packed(a).get()).contains(&key), "{a} finds {b}");
        }
    }
}
