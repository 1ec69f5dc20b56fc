//! `$and $or $not`, and what counts as true.

use super::super::codec::ValueRef;
use super::super::value::Value;
use super::evaluate::Environment;
use super::parse::{Evaluate, Evaluated, Node};
use super::{ANY, Args, ExpressionError, Operator, Outcome, Parser, list, special};
use std::borrow::Cow;

pub(super) const OPERATORS: &[Operator] = &[
    special(
        "$and",
        "Whether all of the values are true; those after the first that is not are not evaluated.",
        "[a, ...]",
        and,
    ),
    list("$not", "Whether the value is not true.", (1, 1), not),
    special("$or", "Whether one of the values is true; those after it are not evaluated.", "[a, ...]", or),
];

/// Whether a value is true: anything but false, zero and null.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int32(0) | Value::Int64(0) => false,
        Value::Double(n) => *n != 0.0,
        Value::Decimal(n) => !n.is_zero(),
        _ => true,
    }
}

/// Whether an argument is true; missing is not.
pub(super) fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(truth)
}

#[derive(Debug)]
struct Junction {
    nodes: Vec<Node>,
    /// What ends it: false for `$and`, true for `$or`.
    ends_on: bool,
}

impl Evaluate for Junction {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        for node in &self.nodes {
            if is_true(node.evaluate(environment)?.as_deref()) == self.ends_on {
                return Ok(Some(Cow::Owned(Value::Bool(self.ends_on))));
            }
        }
        Ok(Some(Cow::Owned(Value::Bool(!self.ends_on))))
    }
}

fn junction(
    parser: &mut Parser<'_>,
    name: &str,
    operand: ValueRef<'_>,
    ends_on: bool,
) -> Result<Node, ExpressionError> {
    let (least, most) = ANY;
    let nodes = parser.list(name, operand, least, most)?;
    Ok(Node::Special(Box::new(Junction { nodes, ends_on })))
}

fn and(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    junction(parser, name, operand, false)
}

fn or(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    junction(parser, name, operand, true)
}

fn not(args: &mut Args<'_>) -> Outcome {
    Ok(Some(Value::Bool(!is_true(args.get(0)))))
}
