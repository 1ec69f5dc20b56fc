//! `$convert` and its short forms. What cannot be converted is an error, or what `onError` gives.

use std::borrow::Cow;

use dec::{Context, Decimal128, Rounding};

use super::super::codec::ValueRef;
use super::super::value::{Kind, Value};
use super::binary;
use super::calendar::{Zone, iso_text};
use super::date::object_id_ms;
use super::evaluate::{Environment, type_name};
use super::number::{decimal, decimal_integer, double, integer, width};
use super::parse::{Evaluate, Evaluated, Node, error};
use super::{Args, ExpressionError, Operator, Outcome, Parser, list, special};

pub(super) const OPERATORS: &[Operator] = &[
    special(
        "$convert",
        "The `input` as a value of type `to`; `onError` and `onNull` stand in for it.",
        "{input, to, format?, byteOrder?, onError?, onNull?}",
        convert,
    ),
    list("$toBool", "The value as a bool.", (1, 1), |args| short(args, Kind::Bool)),
    list("$toDate", "The value as a date.", (1, 1), |args| short(args, Kind::Date)),
    list("$toDecimal", "The value as a decimal.", (1, 1), |args| short(args, Kind::Decimal)),
    list("$toDouble", "The value as a double.", (1, 1), |args| short(args, Kind::Double)),
    list("$toInt", "The value as an int.", (1, 1), |args| short(args, Kind::Int32)),
    list("$toLong", "The value as a long.", (1, 1), |args| short(args, Kind::Int64)),
    list("$toObjectId", "The value as an ObjectId.", (1, 1), |args| short(args, Kind::ObjectId)),
    list("$toString", "The value as a string.", (1, 1), to_string),
    list("$toUUID", "The text of a UUID as a binary.", (1, 1), to_uuid),
];

fn short(args: &mut Args<'_>, to: Kind) -> Outcome {
    match args.take(0) {
        None | Some(Value::Null) => Ok(Some(Value::Null)),
        Some(value) => converted(value, to, &Manner::default()).map(Some),
    }
}

fn to_string(args: &mut Args<'_>) -> Outcome {
    match args.take(0) {
        None | Some(Value::Null) => Ok(Some(Value::Null)),
        Some(value) => {
            let manner = Manner { format: Some(binary::Format::Auto), ..Manner::default() };
            converted(value, Kind::String, &manner).map(Some)
        }
    }
}

fn to_uuid(args: &mut Args<'_>) -> Outcome {
    match args.take(0) {
        None | Some(Value::Null) => Ok(Some(Value::Null)),
        Some(value) => {
            let manner = Manner { subtype: 4, format: Some(binary::Format::Uuid), big: false };
            converted(value, Kind::Binary, &manner).map(Some)
        }
    }
}

/// What is asked of binaries.
#[derive(Debug, Default)]
struct Manner {
    subtype: u8,
    format: Option<binary::Format>,
    /// The most significant byte first.
    big: bool,
}

#[derive(Debug)]
struct Convert {
    name: &'static str,
    input: Node,
    to: Node,
    format: Option<Node>,
    byte_order: Option<Node>,
    on_error: Option<Node>,
    on_null: Option<Node>,
}

fn convert(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = parser.named(name, operand, &["input!", "to!", "format", "byteOrder", "onError", "onNull"])?;
    let mut parts = parts.into_iter();
    let mut next = || parts.next().flatten();
    let (Some(input), Some(to), format, byte_order, on_error, on_null) =
        (next(), next(), next(), next(), next(), next())
    else {
        return Err(error(name, "needs input and to"));
    };
    Ok(Node::Special(Box::new(Convert { name, input, to, format, byte_order, on_error, on_null })))
}

fn null<'e>() -> Evaluated<'e> {
    Ok(Some(Cow::Owned(Value::Null)))
}

impl Evaluate for Convert {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let wrong = |what: String| error(self.name, what);
        let input = self.input.owned(environment)?;
        let to = self.to.owned(environment)?;
        let optional = |node: &Option<Node>, environment: &mut Environment<'_>| match node {
            Some(node) => node.owned(environment),
            None => Ok(None),
        };
        let (format, order) = (optional(&self.format, environment)?, optional(&self.byte_order, environment)?);
        let input = match input {
            None | Some(Value::Null) => {
                if let Some(to) = to.as_ref().filter(|to| !matches!(to, Value::Null)) {
                    target(to).map_err(wrong)?;
                }
                return match &self.on_null {
                    Some(on_null) => on_null.evaluate(environment),
                    None => null(),
                };
            }
            Some(input) => input,
        };
        let Some(to) = to.filter(|to| !matches!(to, Value::Null)) else { return null() };
        let (kind, subtype) = (target(&to).map_err(wrong)?, subtype(&to).map_err(wrong)?);
        let format = match &format {
            None | Some(Value::Null) => None,
            Some(Value::String(format)) => {
                let known = binary::Format::parse(format);
                Some(known.ok_or_else(|| wrong(format!("unknown format {format:?}")))?)
            }
            other => return Err(wrong(format!("format must be a string, not {}", type_name(other.as_ref())))),
        };
        let big = match &order {
            None | Some(Value::Null) => false,
            Some(Value::String(order)) if order == "big" => true,
            Some(Value::String(order)) if order == "little" => false,
            _ => return Err(wrong("byteOrder must be \"little\" or \"big\"".into())),
        };
        let manner = Manner { subtype, format, big };
        let result = match kind {
            Some(kind) => converted(input, kind, &manner),
            None => Err(format!("cannot convert {} to that type", input.kind().name())),
        };
        match (result, &self.on_error) {
            (Ok(value), _) => Ok(Some(Cow::Owned(value))),
            (Err(_), Some(on_error)) => on_error.evaluate(environment),
            (Err(what), None) => Err(wrong(what)),
        }
    }
}

/// Names of types that are none here, but that MongoDB knows: nothing converts to them.
const FOREIGN: &[(&str, i64)] = &[
    ("missing", 0),
    ("undefined", 6),
    ("dbPointer", 12),
    ("javascript", 13),
    ("symbol", 14),
    ("javascriptWithScope", 15),
];

/// The type that `to` names; None for one that nothing converts to.
fn target(to: &Value) -> Result<Option<Kind>, String> {
    let kind = match to {
        Value::Object(object) => object.get("type").ok_or("to: needs a type")?,
        other => other,
    };
    match kind {
        Value::String(name) => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            if kind.is_none() && !FOREIGN.iter().any(|(foreign, _)| foreign == name) {
                return Err(format!("to: unknown type {name:?}"));
            }
            Ok(kind)
        }
        value if width(value).is_some() => {
            let code = value.as_integer().ok_or("to: a type's number must be whole")?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.code() == code);
            if kind.is_none() && !FOREIGN.iter().any(|(_, foreign)| *foreign == code) {
                return Err(format!("to: no type has the number {code}"));
            }
            Ok(kind)
        }
        other => Err(format!("to: must be the name or number of a type, not {}", other.kind().name())),
    }
}

/// The subtype that `to` asks of binaries.
fn subtype(to: &Value) -> Result<u8, String> {
    match to.as_object().and_then(|object| object.get("subtype")) {
        None => Ok(0),
        Some(value) if width(value).is_some() => {
            let subtype = value.as_integer().and_then(|n| u8::try_from(n).ok());
            subtype.filter(|n| *n <= 9 || *n >= 128).ok_or_else(|| "to: the subtype is none".into())
        }
        Some(other) => Err(format!("to: subtype must be a number, not {}", other.kind().name())),
    }
}

fn converted(value: Value, to: Kind, manner: &Manner) -> Result<Value, String> {
    let from = value.kind();
    let cannot = || format!("cannot convert {} to {}", from.name(), to.name());
    let bad = || format!("the {} does not read as {}", from.name(), to.name());
    let range = || format!("the {} is out of the range of {}", from.name(), to.name());
    match (to, &value) {
        (Kind::Bool, Value::Bool(_)) => Ok(value),
        (Kind::Bool, n) if from.is_number() => Ok(Value::Bool(super::boolean::truth(n))),
        (Kind::Bool, _) => Ok(Value::Bool(true)),

        (Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Decimal, Value::Bool(flag)) => {
            number_as(&Value::Int32(i32::from(*flag)), to).ok_or_else(range)
        }
        (Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Decimal, n) if from.is_number() => {
            number_as(n, to).ok_or_else(range)
        }
        (Kind::Double | Kind::Int64 | Kind::Decimal, Value::Date(ms)) => {
            number_as(&Value::Int64(*ms), to).ok_or_else(range)
        }
        (Kind::Double, Value::String(text)) => read_double(text).map(Value::Double).ok_or_else(bad),
        (Kind::Decimal, Value::String(text)) => read_decimal(text).map(Value::Decimal).ok_or_else(bad),
        (Kind::Int32, Value::String(text)) => {
            read_integer(text).and_then(|n| n.try_into().ok()).map(Value::Int32).ok_or_else(bad)
        }
        (Kind::Int64, Value::String(text)) => read_integer(text).map(Value::Int64).ok_or_else(bad),
        (Kind::Double | Kind::Int32 | Kind::Int64, Value::Binary { bytes, subtype }) => {
            binary::number(bytes, *subtype, to, manner.big).ok_or_else(bad)
        }

        (Kind::Date, Value::Date(_)) => Ok(value),
        (Kind::Date, Value::Int64(ms)) => Ok(Value::Date(*ms)),
        (Kind::Date, Value::Double(_) | Value::Decimal(_)) => match number_as(&value, Kind::Int64) {
            Some(Value::Int64(ms)) => Ok(Value::Date(ms)),
            _ => Err(range()),
        },
        (Kind::Date, Value::String(text)) => super::date_text::read(text, None, &Zone::UTC, false).map(Value::Date),
        (Kind::Date, Value::ObjectId(id)) => Ok(Value::Date(object_id_ms(id))),
        (Kind::Date, Value::Timestamp { seconds, .. }) => Ok(Value::Date(i64::from(*seconds) * 1000)),

        (Kind::ObjectId, Value::ObjectId(_)) => Ok(value),
        (Kind::ObjectId, Value::String(text)) => {
            let mut id = [0; 12];
            hex::decode_to_slice(text, &mut id).map_err(|_| bad())?;
            Ok(Value::ObjectId(id))
        }

        (Kind::String, Value::String(_)) => Ok(value),
        (Kind::String, Value::Int32(n)) => Ok(Value::String(n.to_string())),
        (Kind::String, Value::Int64(n)) => Ok(Value::String(n.to_string())),
        (Kind::String, Value::Double(n)) => Ok(Value::String(double_text(*n))),
        (Kind::String, Value::Decimal(n)) => Ok(Value::String(n.to_string())),
        (Kind::String, Value::Bool(flag)) => Ok(Value::String(flag.to_string())),
        (Kind::String, Value::ObjectId(id)) => Ok(Value::String(hex::encode(id))),
        (Kind::String, Value::Date(ms)) => iso_text(*ms).map(Value::String).ok_or_else(range),
        (Kind::String, Value::Binary { subtype, bytes }) => {
            let format = manner.format.ok_or("a binary needs a format to become a string")?;
            binary::write(bytes, *subtype, format).map(Value::String).ok_or_else(bad)
        }

        (Kind::Binary, Value::Binary { subtype, .. }) if *subtype == manner.subtype => Ok(value),
        (Kind::Binary, Value::String(text)) => {
            let format = manner.format.ok_or("a string needs a format to become binData")?;
            let bytes = binary::read(text, format, manner.subtype).ok_or_else(bad)?;
            Ok(Value::Binary { subtype: manner.subtype, bytes })
        }
        (Kind::Binary, Value::Int32(_) | Value::Int64(_) | Value::Double(_)) => {
            let mut bytes = match &value {
                Value::Int32(n) => n.to_le_bytes().to_vec(),
                Value::Int64(n) => n.to_le_bytes().to_vec(),
                n => double(n).to_le_bytes().to_vec(),
            };
            if manner.big {
                bytes.reverse();
            }
            Ok(Value::Binary { subtype: manner.subtype, bytes })
        }
        _ => Err(cannot()),
    }
}

/// A number as another type of number; fractions are cut off. None beyond its range.
fn number_as(value: &Value, to: Kind) -> Option<Value> {
    match to {
        Kind::Double => {
            let n = double(value);
            let overflowed = n.is_infinite() && matches!(value, Value::Decimal(d) if d.is_finite());
            (!overflowed).then_some(Value::Double(n))
        }
        Kind::Decimal => Some(Value::Decimal(decimal(value))),
        Kind::Int32 | Kind::Int64 => {
            let n = match value {
                Value::Double(n) => Value::Double(n.trunc()).as_integer()?,
                Value::Decimal(n) => decimal_integer(*n, Rounding::Down)?,
                other => integer(other)?,
            };
            if to == Kind::Int32 { i32::try_from(n).ok().map(Value::Int32) } else { Some(Value::Int64(n)) }
        }
        _ => None,
    }
}

/// Digits with a sign, and nothing else.
fn read_integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn read_double(text: &str) -> Option<f64> {
    let (sign, bare) = match text.strip_prefix('-') {
        Some(bare) => (-1.0, bare),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = bare.to_ascii_lowercase();
    if matches!(&*lower, "nan" | "inf" | "infinity") {
        return Some(sign * if lower == "nan" { f64::NAN } else { f64::INFINITY });
    }
    if let Some(hexadecimal) = lower.strip_prefix("0x") {
        return read_hexadecimal(hexadecimal).map(|n| sign * n);
    }
    let plain = lower.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = lower.parse().ok().filter(|_| plain)?;
    (number.is_finite() && (number != 0.0 || is_zero(&lower))).then_some(sign * number)
}

/// Whether the digits before the exponent are all zeros: what else reads as zero was too small.
fn is_zero(text: &str) -> bool {
    text.chars().take_while(|c| !matches!(c, 'e' | 'E')).all(|c| !('1'..='9').contains(&c))
}

/// `1.8p3`: a hexadecimal number times a power of two.
fn read_hexadecimal(text: &str) -> Option<f64> {
    let (digits, power) = match text.split_once('p') {
        Some((digits, power)) => (digits, power.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut number, mut place) = (0.0, 1.0 / 16.0);
    for digit in whole.chars() {
        number = number * 16.0 + f64::from(digit.to_digit(16)?);
    }
    for digit in fraction.chars() {
        number += f64::from(digit.to_digit(16)?) * place;
        place /= 16.0;
    }
    Some(number * 2f64.powi(power)).filter(|n| n.is_finite())
}

fn read_decimal(text: &str) -> Option<Decimal128> {
    let digits = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let bare = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if !text.chars().all(digits) && !matches!(&*bare, "nan" | "inf" | "infinity") {
        return None;
    }
    let mut context = Context::<Decimal128>::default();
    let number = context.parse(text).ok()?;
    let status = context.status();
    let vanished = number.is_zero() && !is_zero(text);
    (!status.overflow() && !status.invalid_operation() && !vanished).then_some(number)
}

/// The shortest text that reads back as the same double, as C++ writes it.
pub(super) fn double_text(n: f64) -> String {
    if n.is_nan() {
        return "NaN".into();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let scientific = format!("{n:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return n.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
