//! `$let` and `$literal`. What stands behind two dollar signs is read by the parser.

use super::super::codec::ValueRef;
use super::evaluate::Environment;
use super::parse::{Evaluate, Evaluated, Node, check_name, error, members};
use super::{ExpressionError, Operator, Parser, special};

pub(super) const OPERATORS: &[Operator] = &[
    special("$const", "The operand as it is written; the same as $literal.", "value", literal),
    special("$let", "The value of `in`, in which the `vars` are in sight.", "{vars: {name: a, ...}, in}", bind),
    special("$literal", "The operand as it is written, not read as an expression.", "value", literal),
];

fn literal(_: &mut Parser<'_>, _: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    Ok(Node::Constant(operand.to_value()))
}

#[derive(Debug)]
struct Let {
    name: &'static str,
    variables: Vec<Node>,
    body: Node,
}

impl Evaluate for Let {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        // None of them sees another, so all are evaluated before one is in sight.
        let mut values = Vec::with_capacity(self.variables.len());
        for node in &self.variables {
            values.push(node.owned(environment)?);
        }
        for value in values {
            environment.push(self.name, value)?;
        }
        let value = self.body.evaluate(environment)?;
        environment.pop(self.variables.len());
        Ok(value)
    }
}

fn bind(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let mut parts = members(name, operand, &["vars!", "in!"])?.into_iter().flatten();
    let (Some(vars), Some(body)) = (parts.next(), parts.next()) else {
        return Err(error(name, "needs vars and in"));
    };
    let ValueRef::Object(vars) = vars else { return Err(error(name, "vars must be an object")) };
    let (mut names, mut variables) = (Vec::new(), Vec::new());
    for (variable, value) in vars.iter() {
        check_name(variable).map_err(|what| error(name, format_args!("{variable:?}: {what}")))?;
        names.push(variable);
        variables.push(parser.expression(value)?);
    }
    let body = parser.with_variables(&names, body)?;
    Ok(Node::Special(Box::new(Let { name, variables, body })))
}
