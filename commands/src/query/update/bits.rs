//! `$bit`.

use veddb_storage::document::Value;

use super::{Action, Modifier, Outcome, Terms, UpdateOperator};

/// The operator on bits.
pub(super) const OPERATORS: &[UpdateOperator] = &[UpdateOperator {
    name: "$bit",
    operand: "{and: n, or: n, xor: n}",
    summary: "Changes the bits of an integer with and, or, xor; a missing field counts as 0.",
    parse: bit,
}];

fn bit(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    let object = value.as_object().ok_or_else(|| format!("needs an object, not {}", value.kind().name()))?;
    let mut operations: Vec<Operation> = Vec::new();
    for (name, operand) in &object.0 {
        let combine: fn(i64, i64) -> i64 = match name.as_str() {
            "and" => |a, b| a & b,
            "or" => |a, b| a | b,
            "xor" => |a, b| a ^ b,
            other => return Err(format!("unknown operation {other}; it is and, or, xor")),
        };
        let Some((operand, wide)) = integer(operand) else {
            return Err(format!("{name} needs an integer, not {}", operand.kind().name()));
        };
        operations.push(Operation { combine, operand, wide });
    }
    if operations.is_empty() {
        return Err("needs and, or, xor".into());
    }
    Ok(Action::Modify(Box::new(Bit(operations))))
}

/// An integer, and whether it is one of 64 bits.
fn integer(value: &Value) -> Option<(i64, bool)> {
    match value {
        Value::Int32(n) => Some((i64::from(*n), false)),
        Value::Int64(n) => Some((*n, true)),
        _ => None,
    }
}

#[derive(Debug)]
struct Operation {
    combine: fn(i64, i64) -> i64,
    operand: i64,
    wide: bool,
}

#[derive(Debug)]
struct Bit(Vec<Operation>);

impl Modifier for Bit {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        let (mut n, mut wide) = match current {
            None => (0, false),
            Some(value) => {
                integer(value).ok_or_else(|| format!("the field is of type {}, not an integer", value.kind().name()))?
            }
        };
        for operation in &self.0 {
            n = (operation.combine)(n, operation.operand);
            wide |= operation.wide;
        }
        // Sign extension keeps the bits of two 32-bit integers within 32 bits.
        Ok(Outcome::Put(if wide { Value::Int64(n) } else { Value::integer(n) }))
    }
}
