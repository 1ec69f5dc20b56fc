//! Objects: `$getField $setField $unsetField $mergeObjects`. Fields are named whole: dots and dollar signs do not count.

use std::borrow::Cow;

use super::super::codec::ValueRef;
use super::super::value::{Object, Value};
use super::accumulate::operands;
use super::array::unique;
use super::evaluate::{Environment, type_name};
use super::parse::{Base, Evaluate, Evaluated, Node, error, members};
use super::{ANY, Args, ExpressionError, Operator, Outcome, Parser, list, special};

pub(super) const OPERATORS: &[Operator] = &[
    special("$getField", "The field of `input` ($$CURRENT) that has this name.", "field, or {field, input}", get_field),
    list("$mergeObjects", "The members of all objects; of two of one name the later.", ANY, merge),
    special(
        "$setField",
        "The `input` with its `field` set to `value`; $$REMOVE takes it out.",
        "{field, input, value}",
        set_field,
    ),
    special("$unsetField", "The `input` without its `field`.", "{field, input}", unset_field),
];

fn merge(args: &mut Args<'_>) -> Outcome {
    let mut members = Vec::new();
    for value in operands(args) {
        match value {
            Value::Null => {}
            Value::Object(object) => members.extend(object.0),
            other => return Err(format!("each operand must be an object, not {}", other.kind().name())),
        }
    }
    Ok(Some(Value::Object(unique(members))))
}

#[derive(Debug)]
struct GetField {
    name: &'static str,
    field: Node,
    input: Node,
}

/// A name that is known when the expression is read.
fn constant_name(name: &str, node: &Node) -> Result<String, ExpressionError> {
    match node {
        Node::Constant(Value::String(field)) if !field.contains('\0') => Ok(field.clone()),
        Node::Constant(Value::String(_)) => Err(error(name, "field may not hold NUL")),
        Node::Constant(other) => Err(error(name, format_args!("field must be a string, not {}", other.kind().name()))),
        _ => Err(error(name, "field must be a constant string")),
    }
}

fn get_field(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let current = Node::Path(Base::Root, Box::default());
    // Anything but {field, input} is the field's name.
    let long =
        matches!(operand, ValueRef::Object(object) if object.iter().next().is_none_or(|(n, _)| !n.starts_with('$')));
    let (field, input) = if long {
        let mut parts = parser.named(name, operand, &["field!", "input!"])?.into_iter().flatten();
        match (parts.next(), parts.next()) {
            (Some(field), Some(input)) => (field, input),
            _ => return Err(error(name, "needs field and input")),
        }
    } else {
        let current = parser.current().map_or(current, |base| Node::Path(base, Box::default()));
        (parser.expression(operand)?, current)
    };
    if matches!(field, Node::Constant(_)) {
        constant_name(name, &field)?;
    }
    Ok(Node::Special(Box::new(GetField { name, field, input })))
}

impl Evaluate for GetField {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let field = match self.field.evaluate(environment)?.as_deref() {
            Some(Value::String(field)) => field.clone(),
            other => return Err(error(self.name, format_args!("field must be a string, not {}", type_name(other)))),
        };
        match self.input.owned(environment)? {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(Cow::Owned(Value::Null))),
            Some(Value::Object(mut object)) => Ok(object.remove(&field).map(Cow::Owned)),
            Some(_) => Ok(None),
        }
    }
}

#[derive(Debug)]
struct SetField {
    name: &'static str,
    field: String,
    input: Node,
    value: Node,
}

fn set_field(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = members(name, operand, &["field!", "input!", "value!"])?;
    let [Some(field), Some(input), Some(value)] = parts.as_slice() else {
        return Err(error(name, "needs field, input and value"));
    };
    let field = constant_name(name, &parser.unfolded(*field)?)?;
    let (input, value) = (parser.expression(*input)?, parser.expression(*value)?);
    Ok(Node::Special(Box::new(SetField { name, field, input, value })))
}

fn unset_field(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = members(name, operand, &["field!", "input!"])?;
    let [Some(field), Some(input)] = parts.as_slice() else { return Err(error(name, "needs field and input")) };
    let field = constant_name(name, &parser.unfolded(*field)?)?;
    let input = parser.expression(*input)?;
    Ok(Node::Special(Box::new(SetField { name, field, input, value: Node::Remove })))
}

impl Evaluate for SetField {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let input = self.input.owned(environment)?;
        let value = self.value.owned(environment)?;
        let mut object: Object = match input {
            None | Some(Value::Null) => return Ok(Some(Cow::Owned(Value::Null))),
            Some(Value::Object(object)) => object,
            other => {
                return Err(error(
                    self.name,
                    format_args!("input must be an object, not {}", type_name(other.as_ref())),
                ));
            }
        };
        match value {
            Some(value) => object.set(&self.field, value),
            None => {
                object.remove(&self.field);
            }
        }
        Ok(Some(Cow::Owned(Value::Object(object))))
    }
}
