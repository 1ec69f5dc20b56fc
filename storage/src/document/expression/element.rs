//! What evaluates an expression for each element of an array: `$filter $map $reduce`; and `$sortArray`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::codec::ValueRef;
use super::super::value::Value;
use super::array::not_array;
use super::boolean::is_true;
use super::comparison::compare;
use super::evaluate::{Environment, type_name};
use super::parse::{Evaluate, Evaluated, Node, check_name, error, members};
use super::text::int32;
use super::{ExpressionError, Operator, Parser, special};

pub(super) const OPERATORS: &[Operator] = &[
    special(
        "$filter",
        "The elements of `input` for which `cond` is true, at most `limit`; `as` names the element.",
        "{input, as?, cond, limit?}",
        filter,
    ),
    special("$map", "What `in` gives for each element of `input`; `as` names the element.", "{input, as?, in}", map),
    special(
        "$reduce",
        "What `in` makes of `initialValue` ($$value) with each element of `input` ($$this).",
        "{input, initialValue, in}",
        reduce,
    ),
    special(
        "$sortArray",
        "The elements of `input` in the order of `sortBy`: 1, -1, or paths of the elements.",
        "{input, sortBy}",
        sort_array,
    ),
];

/// The elements; None for null and missing.
fn elements(name: &str, node: &Node, environment: &mut Environment<'_>) -> Result<Option<Vec<Value>>, ExpressionError> {
    match node.owned(environment)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values)),
        other => Err(error(name, not_array("input", other.as_ref()))),
    }
}

fn null<'e>() -> Evaluated<'e> {
    Ok(Some(Cow::Owned(Value::Null)))
}

fn array<'e>(values: Vec<Value>) -> Evaluated<'e> {
    Ok(Some(Cow::Owned(Value::Array(values))))
}

fn variable<'v>(name: &str, value: Option<ValueRef<'v>>) -> Result<&'v str, ExpressionError> {
    match value {
        None => Ok("this"),
        Some(ValueRef::String(variable)) => {
            check_name(variable).map_err(|what| error(name, format_args!("as: {what}")))?;
            Ok(variable)
        }
        Some(_) => Err(error(name, "as must be a string")),
    }
}

#[derive(Debug)]
struct Filter {
    name: &'static str,
    input: Node,
    condition: Node,
    limit: Option<Node>,
}

fn filter(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = members(name, operand, &["input!", "cond!", "as", "limit"])?;
    let [Some(input), Some(condition), variable_name, limit] = parts.as_slice() else {
        return Err(error(name, "needs input and cond"));
    };
    let input = parser.expression(*input)?;
    let condition = parser.with_variables(&[variable(name, *variable_name)?], *condition)?;
    let limit = limit.map(|limit| parser.expression(limit)).transpose()?;
    Ok(Node::Special(Box::new(Filter { name, input, condition, limit })))
}

impl Evaluate for Filter {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let Some(values) = elements(self.name, &self.input, environment)? else { return null() };
        let limit = match &self.limit {
            None => usize::MAX,
            Some(limit) => match limit.owned(environment)? {
                None | Some(Value::Null) => usize::MAX,
                some => {
                    let limit = int32(some.as_ref(), "limit").map_err(|what| error(self.name, what))?;
                    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
                    limit.ok_or_else(|| error(self.name, "limit must be greater than zero"))?
                }
            },
        };
        let mut kept = Vec::new();
        for value in values {
            environment.push(self.name, Some(value))?;
            let keep = is_true(self.condition.evaluate(environment)?.as_deref());
            let value = environment.take();
            if keep {
                kept.extend(value);
                if kept.len() >= limit {
                    break;
                }
            }
        }
        array(kept)
    }
}

#[derive(Debug)]
struct Map {
    name: &'static str,
    input: Node,
    body: Node,
}

fn map(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = members(name, operand, &["input!", "in!", "as"])?;
    let [Some(input), Some(body), variable_name] = parts.as_slice() else {
        return Err(error(name, "needs input and in"));
    };
    let input = parser.expression(*input)?;
    let body = parser.with_variables(&[variable(name, *variable_name)?], *body)?;
    Ok(Node::Special(Box::new(Map { name, input, body })))
}

impl Evaluate for Map {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let Some(values) = elements(self.name, &self.input, environment)? else { return null() };
        let mut mapped = Vec::with_capacity(values.len());
        for value in values {
            environment.push(self.name, Some(value))?;
            mapped.push(self.body.owned(environment)?.unwrap_or(Value::Null));
            environment.pop(1);
        }
        array(mapped)
    }
}

#[derive(Debug)]
struct Reduce {
    name: &'static str,
    input: Node,
    initial: Node,
    body: Node,
}

fn reduce(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = members(name, operand, &["input!", "initialValue!", "in!"])?;
    let [Some(input), Some(initial), Some(body)] = parts.as_slice() else {
        return Err(error(name, "needs input, initialValue and in"));
    };
    let (input, initial) = (parser.expression(*input)?, parser.expression(*initial)?);
    let body = parser.with_variables(&["this", "value"], *body)?;
    Ok(Node::Special(Box::new(Reduce { name, input, initial, body })))
}

impl Evaluate for Reduce {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let Some(values) = elements(self.name, &self.input, environment)? else { return null() };
        let mut total = self.initial.owned(environment)?;
        for value in values {
            environment.push(self.name, Some(value))?;
            environment.push(self.name, total)?;
            total = self.body.owned(environment)?;
            environment.pop(2);
        }
        Ok(total.map(Cow::Owned))
    }
}

/// By the whole element, or by what stands at its paths; the flag: greatest first.
#[derive(Debug)]
enum By {
    Whole(bool),
    Paths(Vec<(Box<[Box<str>]>, bool)>),
}

#[derive(Debug)]
struct SortArray {
    name: &'static str,
    input: Node,
    by: By,
}

fn descending(name: &str, value: ValueRef<'_>) -> Result<bool, ExpressionError> {
    match value.to_value().as_integer().filter(|_| value.kind().is_number()) {
        Some(1) => Ok(false),
        Some(-1) => Ok(true),
        _ => Err(error(name, "sortBy needs 1 or -1")),
    }
}

fn sort_array(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = members(name, operand, &["input!", "sortBy!"])?;
    let [Some(input), Some(by)] = parts.as_slice() else { return Err(error(name, "needs input and sortBy")) };
    let by = match by {
        ValueRef::Object(object) => {
            let mut paths = Vec::new();
            for (path, direction) in object.iter() {
                if path.split('.').any(|step| step.is_empty() || step.starts_with('$')) {
                    return Err(error(name, format_args!("sortBy: {path:?} is not a path")));
                }
                paths.push((path.split('.').map(Box::from).collect(), descending(name, direction)?));
            }
            if paths.is_empty() {
                return Err(error(name, "sortBy must not be empty"));
            }
            By::Paths(paths)
        }
        other => By::Whole(descending(name, *other)?),
    };
    Ok(Node::Special(Box::new(SortArray { name, input: parser.expression(*input)?, by })))
}

impl Evaluate for SortArray {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let mut values = match self.input.owned(environment)? {
            None | Some(Value::Null) => return null(),
            Some(Value::Array(values)) => values,
            other => {
                return Err(error(
                    self.name,
                    format_args!("input must be an array, not {}", type_name(other.as_ref())),
                ));
            }
        };
        let directed = |order: Ordering, descending: bool| if descending { order.reverse() } else { order };
        match &self.by {
            By::Whole(descending) => values.sort_by(|a, b| directed(compare(Some(a), Some(b)), *descending)),
            By::Paths(paths) => {
                let keys = |value: &Value| -> Vec<Value> {
                    paths.iter().map(|(path, descending)| sort_key(value, path, *descending)).collect()
                };
                let mut keyed: Vec<(Vec<Value>, Value)> =
                    values.into_iter().map(|value| (keys(&value), value)).collect();
                keyed.sort_by(|(a, _), (b, _)| {
                    let mut orders = a
                        .iter()
                        .zip(b)
                        .zip(paths)
                        .map(|((a, b), (_, descending))| directed(compare(Some(a), Some(b)), *descending));
                    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
                });
                values = keyed.into_iter().map(|(_, value)| value).collect();
            }
        }
        array(values)
    }
}

/// What an element sorts by: the least (greatest) of the values that the path reaches; null where it reaches none.
fn sort_key(value: &Value, path: &[Box<str>], descending: bool) -> Value {
    let mut reached = Vec::new();
    reach(value, path, &mut reached);
    let best = reached.into_iter().reduce(|a, b| {
        let order = compare(Some(a), Some(b));
        if (descending && order.is_lt()) || (!descending && order.is_gt()) { b } else { a }
    });
    best.cloned().unwrap_or(Value::Null)
}

/// The values at the end of a path, through arrays and, at its end, into one. The path's length bounds the recursion.
fn reach<'v>(value: &'v Value, path: &[Box<str>], found: &mut Vec<&'v Value>) {
    match (value, path.split_first()) {
        (Value::Array(values), None) if !values.is_empty() => found.extend(values),
        (value, None) => found.push(value),
        (Value::Object(object), Some((first, rest))) => {
            if let Some(inner) = object.get(first) {
                match inner {
                    Value::Array(values) if !rest.is_empty() => {
                        values.iter().filter(|v| matches!(v, Value::Object(_))).for_each(|v| reach(v, rest, found));
                    }
                    inner => reach(inner, rest, found),
                }
            }
        }
        _ => {}
    }
}
