//! Bits of ints and longs.

use super::super::value::Value;
use super::evaluate::type_name;
use super::number::integer;
use super::{ANY, Args, Operator, Outcome, list};

pub(super) const OPERATORS: &[Operator] = &[
    list("$bitAnd", "The bits that all numbers have.", ANY, and),
    list("$bitNot", "The bits that the number does not have.", (1, 1), not),
    list("$bitOr", "The bits that any of the numbers has.", ANY, or),
    list("$bitXor", "The bits that an odd number of the numbers has.", ANY, xor),
];

fn only_integers(value: Option<&Value>) -> String {
    format!("only supports int and long, not {}", type_name(value))
}

fn fold(args: &Args<'_>, start: i32, combine: fn(i64, i64) -> i64) -> Outcome {
    let (mut bits, mut long) = (i64::from(start), false);
    for value in args.iter() {
        match value {
            None | Some(Value::Null) => return Ok(Some(Value::Null)),
            Some(value) => {
                bits = combine(bits, integer(value).ok_or_else(|| only_integers(Some(value)))?);
                long |= matches!(value, Value::Int64(_));
            }
        }
    }
    Ok(Some(if long { Value::Int64(bits) } else { Value::integer(bits) }))
}

fn and(args: &mut Args<'_>) -> Outcome {
    fold(args, -1, |a, b| a & b)
}

fn or(args: &mut Args<'_>) -> Outcome {
    fold(args, 0, |a, b| a | b)
}

fn xor(args: &mut Args<'_>) -> Outcome {
    fold(args, 0, |a, b| a ^ b)
}

fn not(args: &mut Args<'_>) -> Outcome {
    match args.get(0) {
        None | Some(Value::Null) => Ok(Some(Value::Null)),
        Some(Value::Int32(n)) => Ok(Some(Value::Int32(!n))),
        Some(Value::Int64(n)) => Ok(Some(Value::Int64(!n))),
        other => Err(only_integers(other)),
    }
}
