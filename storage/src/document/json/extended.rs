//! MongoDB Extended JSON v2: what `{"$oid": ..}` and its like mean.

use base64::Engine;
use dec::{Context, Decimal128};

use crate::document::value::{Object, Value};

/// Reads a wrapper's content, or says what was expected.
type Read = fn(&Value) -> Result<Value, &'static str>;

/// The wrappers, and how each reads its content. `$regex`, `$type` and the other operators are not among them.
const WRAPPERS: &[(&str, Read)] = &[
    ("$oid", oid),
    ("$date", date),
    ("$numberInt", number_int),
    ("$numberLong", number_long),
    ("$numberDouble", number_double),
    ("$numberDecimal", number_decimal),
    ("$binary", binary),
    ("$uuid", uuid),
    ("$regularExpression", regular_expression),
    ("$timestamp", timestamp),
    ("$minKey", min_key),
    ("$maxKey", max_key),
];

/// A wrapper's name and reader.
pub(super) type Wrapper = &'static (&'static str, Read);

/// The wrapper of this name.
pub(super) fn wrapper(name: &str) -> Option<Wrapper> {
    if !name.starts_with('$') {
        return None;
    }
    WRAPPERS.iter().find(|(known, _)| *known == name)
}

/// Whether an object that begins with a member of this name is a typed value, as `{"$oid": ..}` is.
pub fn is_wrapper(name: &str) -> bool {
    wrapper(name).is_some()
}

fn oid(content: &Value) -> Result<Value, &'static str> {
    let mut id = [0; 12];
    let text = content.as_str().ok_or("expected 24 hexadecimal digits")?;
    hex::decode_to_slice(text, &mut id).map_err(|_| "expected 24 hexadecimal digits")?;
    Ok(Value::ObjectId(id))
}

fn date(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected an ISO 8601 time with its offset, or milliseconds since 1970";
    match content {
        Value::Int32(ms) => Ok(Value::Date(i64::from(*ms))),
        Value::Int64(ms) => Ok(Value::Date(*ms)),
        Value::String(text) => date_text(text).map(Value::Date).ok_or(WHAT),
        _ => Err(WHAT),
    }
}

/// An ISO 8601 time with its offset, as milliseconds since 1970. By its parts, for jiff's moments end a day before the year
/// 10000 does.
fn date_text(text: &str) -> Option<i64> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let time = pieces.time().unwrap_or(jiff::civil::Time::midnight());
    let offset = pieces.to_numeric_offset()?;
    let civil = pieces.date().to_datetime(time);
    let since = civil.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));
    // Rounded down, so that a moment before 1970 stays in its own millisecond.
    let ms = i64::try_from(since.as_nanos().div_euclid(1_000_000)).ok()?;
    Some(ms - i64::from(offset.seconds()) * 1000)
}

fn number_int(content: &Value) -> Result<Value, &'static str> {
    let number = content.as_str().and_then(|t| t.parse().ok());
    number.map(Value::Int32).ok_or("expected a string that holds a 32-bit integer")
}

fn number_long(content: &Value) -> Result<Value, &'static str> {
    let number = content.as_str().and_then(|t| t.parse().ok());
    number.map(Value::Int64).ok_or("expected a string that holds a 64-bit integer")
}

fn number_double(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected a string that holds a double, NaN, Infinity or -Infinity";
    let text = content.as_str().ok_or(WHAT)?;
    let number = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust's own parser also takes `inf` and `nan`, which only look like numbers.
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => text.parse().map_err(|_| WHAT)?,
        _ => return Err(WHAT),
    };
    Ok(Value::Double(number))
}

fn number_decimal(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected a string that holds a decimal number";
    let number = Context::<Decimal128>::default().parse(content.as_str().ok_or(WHAT)?).map_err(|_| WHAT)?;
    // Signalling NaNs and NaN payloads mean nothing here.
    Ok(Value::Decimal(if number.is_nan() { Decimal128::NAN } else { number }))
}

fn binary(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected {\"base64\":..,\"subType\":\"00\"..\"ff\"}";
    let [base64, subtype] = strings(content, ["base64", "subType"]).ok_or(WHAT)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).map_err(|_| WHAT)?;
    let hex = (1..=2).contains(&subtype.len()) && subtype.bytes().all(|b| b.is_ascii_hexdigit());
    let subtype = u8::from_str_radix(subtype, 16).ok().filter(|_| hex).ok_or(WHAT)?;
    Ok(Value::Binary { subtype, bytes })
}

fn uuid(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected a UUID such as 00112233-4455-6677-8899-aabbccddeeff";
    let text = content.as_str().ok_or(WHAT)?;
    let hyphens =
        text.len() == 36 && text.bytes().enumerate().all(|(i, b)| (b == b'-') == [8, 13, 18, 23].contains(&i));
    if !hyphens {
        return Err(WHAT);
    }
    let bytes = hex::decode(text.replace('-', "")).map_err(|_| WHAT)?;
    Ok(Value::Binary { subtype: 4, bytes })
}

fn regular_expression(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected {\"pattern\":..,\"options\":..} of strings";
    let [pattern, options] = strings(content, ["pattern", "options"]).ok_or(WHAT)?;
    let mut options: Vec<char> = options.chars().collect();
    options.sort_unstable();
    options.dedup();
    Ok(Value::Regex { pattern: pattern.to_owned(), options: options.into_iter().collect() })
}

fn timestamp(content: &Value) -> Result<Value, &'static str> {
    const WHAT: &str = "expected {\"t\":..,\"i\":..} of unsigned 32-bit integers";
    let [t, i] = pair(content, ["t", "i"]).ok_or(WHAT)?;
    let number = |value: &Value| value.as_integer().and_then(|n| u32::try_from(n).ok()).ok_or(WHAT);
    Ok(Value::Timestamp { seconds: number(t)?, increment: number(i)? })
}

fn min_key(content: &Value) -> Result<Value, &'static str> {
    if content.as_integer() == Some(1) { Ok(Value::MinKey) } else { Err("expected 1") }
}

fn max_key(content: &Value) -> Result<Value, &'static str> {
    if content.as_integer() == Some(1) { Ok(Value::MaxKey) } else { Err("expected 1") }
}

/// The members of an object that has exactly these two.
fn pair<'a>(content: &'a Value, names: [&str; 2]) -> Option<[&'a Value; 2]> {
    let object: &Object = content.as_object().filter(|o| o.0.len() == 2)?;
    let [first, second] = names;
    Some([object.get(first)?, object.get(second)?])
}

fn strings<'a>(content: &'a Value, names: [&str; 2]) -> Option<[&'a str; 2]> {
    let [first, second] = pair(content, names)?;
    Some([first.as_str()?, second.as_str()?])
}
