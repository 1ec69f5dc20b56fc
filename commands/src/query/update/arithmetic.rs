//! `$inc $mul`, with MongoDB's promotion of types: int, long, double, decimal, whichever is the widest of the two.
//!
//! An int that overflows becomes a long; a long that overflows is an error, for no wider type would be exact.

use veddb_storage::document::value::Decimal128;
use veddb_storage::document::{Value, codec, order};

use super::{Action, Modifier, Outcome, Terms, UpdateOperator};

/// The arithmetic operators.
pub(super) const OPERATORS: &[UpdateOperator] = &[
    UpdateOperator {
        name: "$inc",
        operand: "number",
        summary: "Adds the number to the field; a missing field counts as 0.",
        parse: inc,
    },
    UpdateOperator {
        name: "$mul",
        operand: "number",
        summary: "Multiplies the field by the number; a missing field becomes 0.",
        parse: mul,
    },
];

fn inc(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    action(value, Operation { integers: i64::checked_add, doubles: |a, b| a + b, decimals: |a, b| a + b, adds: true })
}

fn mul(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    action(value, Operation { integers: i64::checked_mul, doubles: |a, b| a * b, decimals: |a, b| a * b, adds: false })
}

fn action(value: &Value, operation: Operation) -> Result<Action, String> {
    if !value.kind().is_number() {
        return Err(format!("needs a number, not {}", value.kind().name()));
    }
    Ok(Action::Modify(Box::new(Arithmetic { operand: value.clone(), operation })))
}

#[derive(Debug)]
struct Operation {
    integers: fn(i64, i64) -> Option<i64>,
    doubles: fn(f64, f64) -> f64,
    decimals: fn(Decimal128, Decimal128) -> Decimal128,
    adds: bool,
}

#[derive(Debug)]
struct Arithmetic {
    operand: Value,
    operation: Operation,
}

impl Modifier for Arithmetic {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        let Some(current) = current else {
            return Ok(Outcome::Put(if self.operation.adds { self.operand.clone() } else { zero_like(&self.operand) }));
        };
        if !current.kind().is_number() {
            return Err(format!("the field is of type {}, not a number", current.kind().name()));
        }
        let result = self.combine(current)?;
        // A result that is equal in type and value is no change, as in MongoDB: a negative zero stays one.
        let same = result.kind() == current.kind() && order::compare_values(&result, current).is_eq();
        Ok(if same { Outcome::Stay } else { Outcome::Put(result) })
    }
}

impl Arithmetic {
    fn combine(&self, current: &Value) -> Result<Value, String> {
        let operand = &self.operand;
        if let (Some(a), Some(b)) = (integer(current), integer(operand)) {
            let result = (self.operation.integers)(a, b).ok_or("the result is beyond 64 bits")?;
            let narrow = matches!((current, operand), (Value::Int32(_), Value::Int32(_)));
            return Ok(if narrow { Value::integer(result) } else { Value::Int64(result) });
        }
        if matches!(current, Value::Decimal(_)) || matches!(operand, Value::Decimal(_)) {
            let (a, b) = (decimal(current), decimal(operand));
            return Ok(Value::Decimal((self.operation.decimals)(a, b)));
        }
        Ok(Value::Double((self.operation.doubles)(double(current), double(operand))))
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int32(n) => Some(i64::from(*n)),
        Value::Int64(n) => Some(*n),
        _ => None,
    }
}

fn double(value: &Value) -> f64 {
    match value {
        Value::Double(n) => *n,
        other => integer(other).unwrap_or_default() as f64,
    }
}

/// As MongoDB widens a double to a decimal: to the 15 digits that a double is sure of.
fn decimal(value: &Value) -> Decimal128 {
    if let Value::Double(n) = value
        && n.is_finite()
    {
        return format!("{n:.14e}").parse().unwrap_or(Decimal128::NAN);
    }
    order::to_decimal(codec::pack_value(value).get()).unwrap_or(Decimal128::NAN)
}

fn zero_like(value: &Value) -> Value {
    match value {
        Value::Int64(_) => Value::Int64(0),
        Value::Double(_) => Value::Double(0.0),
        Value::Decimal(_) => Value::Decimal(Decimal128::from(0)),
        _ => Value::Int32(0),
    }
}
