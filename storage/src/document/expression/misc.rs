//! What belongs to no family: types, sizes, timestamps, chance.

use super::super::codec::ValueRef;
use super::super::value::{Object, Value};
use super::evaluate::{Environment, type_name};
use super::parse::{Evaluate, Evaluated, Node, error};
use super::{Args, ExpressionError, Operator, Outcome, Parser, list, special};
use std::borrow::Cow;

pub(super) const OPERATORS: &[Operator] = &[
    list("$binarySize", "The bytes of a string or a binary.", (1, 1), binary_size),
    list("$bsonSize", "The bytes that an object has in BSON.", (1, 1), bson_size),
    list("$isNumber", "Whether the value is a number.", (1, 1), is_number),
    special("$rand", "A random number from 0 up to, not including, 1.", "{}", rand),
    list("$tsIncrement", "The ordinal of a timestamp.", (1, 1), ts_increment),
    list("$tsSecond", "The seconds of a timestamp.", (1, 1), ts_second),
    list("$type", "The name of the value's type; missing.", (1, 1), kind),
];

fn binary_size(args: &mut Args<'_>) -> Outcome {
    let size = match args.get(0) {
        None | Some(Value::Null) => return Ok(Some(Value::Null)),
        Some(Value::String(text)) => text.len(),
        Some(Value::Binary { bytes, .. }) => bytes.len(),
        other => return Err(format!("needs a string or a binary, not {}", type_name(other))),
    };
    Ok(Some(Value::integer(size as i64)))
}

fn bson_size(args: &mut Args<'_>) -> Outcome {
    match args.get(0) {
        None | Some(Value::Null) => Ok(Some(Value::Null)),
        Some(Value::Object(object)) => Ok(Some(Value::integer(object_size(object) as i64))),
        other => Err(format!("needs an object, not {}", type_name(other))),
    }
}

/// Bytes of an object in BSON. Its nesting bounds the recursion.
fn object_size(object: &Object) -> usize {
    5 + object.0.iter().map(|(name, value)| 2 + name.len() + value_size(value)).sum::<usize>()
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::MinKey | Value::MaxKey => 0,
        Value::Bool(_) => 1,
        Value::Int32(_) => 4,
        Value::Int64(_) | Value::Double(_) | Value::Date(_) | Value::Timestamp { .. } => 8,
        Value::ObjectId(_) => 12,
        Value::Decimal(_) => 16,
        Value::String(text) => 5 + text.len(),
        Value::Binary { bytes, .. } => 5 + bytes.len(),
        Value::Regex { pattern, options } => 2 + pattern.len() + options.len(),
        Value::Object(object) => object_size(object),
        Value::Array(values) => {
            let index = |at: usize| at.checked_ilog10().map_or(1, |digits| digits as usize + 1);
            5 + values.iter().enumerate().map(|(at, value)| 2 + index(at) + value_size(value)).sum::<usize>()
        }
    }
}

fn is_number(args: &mut Args<'_>) -> Outcome {
    Ok(Some(Value::Bool(args.get(0).is_some_and(|value| value.kind().is_number()))))
}

fn timestamp(args: &Args<'_>) -> Result<Option<(u32, u32)>, String> {
    match args.get(0) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Timestamp { seconds, increment }) => Ok(Some((*seconds, *increment))),
        other => Err(format!("needs a timestamp, not {}", type_name(other))),
    }
}

fn ts_increment(args: &mut Args<'_>) -> Outcome {
    Ok(Some(timestamp(args)?.map_or(Value::Null, |(_, increment)| Value::Int64(i64::from(increment)))))
}

fn ts_second(args: &mut Args<'_>) -> Outcome {
    Ok(Some(timestamp(args)?.map_or(Value::Null, |(seconds, _)| Value::Int64(i64::from(seconds)))))
}

fn kind(args: &mut Args<'_>) -> Outcome {
    Ok(Some(Value::String(type_name(args.get(0)).to_owned())))
}

#[derive(Debug)]
struct Rand;

fn rand(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let nothing = match operand {
        ValueRef::Object(object) => object.is_empty(),
        ValueRef::Array(array) => array.is_empty(),
        _ => false,
    };
    if !nothing {
        return Err(error(name, "takes no arguments: {}"));
    }
    parser.note_volatile();
    Ok(Node::Special(Box::new(Rand)))
}

impl Evaluate for Rand {
    fn evaluate<'e>(&'e self, _: &mut Environment<'_>) -> Evaluated<'e> {
        Ok(Some(Cow::Owned(Value::Double(::rand::random::<f64>()))))
    }
}
