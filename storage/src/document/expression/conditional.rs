//! `$cond $ifNull $switch`: only the branch that is taken is evaluated.

use super::super::codec::ValueRef;
use super::super::value::Value;
use super::boolean::{is_true, truth};
use super::evaluate::Environment;
use super::parse::{Evaluate, Evaluated, Node, error, members};
use super::{ExpressionError, Operator, Parser, special};

pub(super) const OPERATORS: &[Operator] = &[
    special(
        "$cond",
        "The second value if the first is true, else the third; also as {if, then, else}.",
        "[if, then, else]",
        cond,
    ),
    special(
        "$ifNull",
        "The first of the values that is neither null nor missing; the last if there is none.",
        "[a, b, ...]",
        if_null,
    ),
    special(
        "$switch",
        "The `then` of the first of the `branches` whose `case` is true; else the `default`.",
        "{branches: [{case, then}, ...], default?}",
        switch,
    ),
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
    let parts: Vec<ValueRef<'_>> = match operand {
        ValueRef::Object(_) => members(name, operand, &["if!", "then!", "else!"])?.into_iter().flatten().collect(),
        ValueRef::Array(array) => array.iter().collect(),
        _ => Vec::new(),
    };
    let [case, then, otherwise] = parts.as_slice() else { return Err(error(name, "needs exactly 3 arguments")) };
    let case = parser.expression(*case)?;
    let known = known(&case);
    let then = branch(parser, *then, known != Some(false))?;
    let default = Some(branch(parser, *otherwise, known != Some(true))?);
    Ok(Node::Special(Box::new(Switch { name, branches: vec![(case, then)], default })))
}

/// Whether a condition is true, where that is known already.
fn known(case: &Node) -> Option<bool> {
    match case {
        Node::Constant(value) => Some(truth(value)),
        Node::Remove => Some(false),
        _ => None,
    }
}

/// Reads a branch. In one that is never taken, what constants come to does not matter.
fn branch(parser: &mut Parser<'_>, value: ValueRef<'_>, taken: bool) -> Result<Node, ExpressionError> {
    if taken { parser.expression(value) } else { parser.unfolded(value) }
}

fn switch(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let mut parts = members(name, operand, &["branches!", "default"])?.into_iter();
    let (list, default) = (parts.next().flatten(), parts.next().flatten());
    let Some(ValueRef::Array(list)) = list else { return Err(error(name, "branches must be an array")) };
    let mut branches = Vec::new();
    for each in list.iter() {
        let parts = members(name, each, &["case!", "then!"])?;
        let [Some(case), Some(then)] = parts.as_slice() else { return Err(error(name, "needs case and then")) };
        let case = parser.expression(*case)?;
        let then = branch(parser, *then, known(&case) != Some(false))?;
        branches.push((case, then));
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
