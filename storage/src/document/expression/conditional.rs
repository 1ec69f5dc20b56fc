//! `$cond $ifNull $switch`: only the branch that is taken is evaluated.

use super::super::codec::ValueRef;
use super::super::value::Value;
use super::boolean::is_true;
use super::evaluate::Environment;
use super::parse::{Evaluate, Evaluated, Node, error, members};
use super::{ExpressionError, Operator, Parser, special};

pub(super) const OPERATORS: &[Operator] = &[
    special("$cond", "The second value if the first is true, else the third; also as {if, then, else}.", cond),
    special("$ifNull", "The first of the values that is neither null nor missing; the last if there is none.", if_null),
    special("$switch", "The `then` of the first of the `branches` whose `case` is true; else the `default`.", switch),
];

/// Cases with what each gives; `$cond` is one with a single case.
#[derive(Debug)]
struct Switch {
    name: &'static str,
    branches: Vec<(Node, Node)>,
    default: Option<Node>,
}

impl Evaluate for Switch {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        for (case, then) in &self.branches {
            if is_true(case.evaluate(environment)?.as_deref()) {
                return then.evaluate(environment);
            }
        }
        match &self.default {
            Some(default) => default.evaluate(environment),
            None => Err(error(self.name, "no branch is true and there is no default")),
        }
    }
}

fn cond(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = match operand {
        ValueRef::Object(_) => parser.named(name, operand, &["if!", "then!", "else!"])?.into_iter().flatten().collect(),
        _ => parser.list(name, operand, 3, 3)?,
    };
    let mut parts = parts.into_iter();
    let (Some(case), Some(then), default) = (parts.next(), parts.next(), parts.next()) else {
        return Err(error(name, "needs exactly 3 arguments"));
    };
    Ok(Node::Special(Box::new(Switch { name, branches: vec![(case, then)], default })))
}

fn switch(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let mut parts = members(name, operand, &["branches!", "default"])?.into_iter();
    let (branches, default) = (parts.next().flatten(), parts.next().flatten());
    let Some(ValueRef::Array(list)) = branches else { return Err(error(name, "branches must be an array")) };
    let mut branches = Vec::new();
    for branch in list.iter() {
        let mut parts = parser.named(name, branch, &["case!", "then!"])?.into_iter().flatten();
        branches.extend(parts.next().zip(parts.next()));
    }
    if branches.is_empty() {
        return Err(error(name, "needs at least one branch"));
    }
    let default = default.map(|value| parser.expression(value)).transpose()?;
    Ok(Node::Special(Box::new(Switch { name, branches, default })))
}

#[derive(Debug)]
struct IfNull(Vec<Node>);

impl Evaluate for IfNull {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let mut last = None;
        for node in &self.0 {
            last = node.evaluate(environment)?;
            if !matches!(last.as_deref(), None | Some(Value::Null)) {
                return Ok(last);
            }
        }
        Ok(last)
    }
}

fn if_null(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    Ok(Node::Special(Box::new(IfNull(parser.list(name, operand, 2, usize::MAX)?))))
}
