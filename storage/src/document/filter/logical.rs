//! `$and $or $nor $not $comment`.

use super::super::codec::ValueRef;
use super::{FieldOperator, FilterError, Node, Operand, Parser, TreeOperator, pattern};

/// The logical operators, where a path could stand.
pub(super) const TREE: &[TreeOperator] = &[
    TreeOperator { name: "$and", operand: "[filter, ...]", summary: "All of the filters match.", parse: and },
    TreeOperator { name: "$or", operand: "[filter, ...]", summary: "At least one of the filters matches.", parse: or },
    TreeOperator { name: "$nor", operand: "[filter, ...]", summary: "None of the filters matches.", parse: nor },
    TreeOperator {
        name: "$comment",
        operand: "text",
        summary: "Text for whoever reads the query; asks nothing.",
        parse: comment,
    },
    TreeOperator {
        name: "$expr",
        operand: "expression",
        summary: "The expression is true of the document.",
        parse: super::expression::parse,
    },
    TreeOperator {
        name: "$jsonSchema",
        operand: "schema",
        summary: "The document fits the schema.",
        parse: super::schema::parse,
    },
    TreeOperator {
        name: "$sampleRate",
        operand: "number from 0 to 1",
        summary: "True of a random share of the documents.",
        parse: super::sample::parse,
    },
];

/// The logical operator under a path.
pub(super) const FIELD: &[FieldOperator] = &[FieldOperator {
    name: "$not",
    operand: "{operator: .., ...}, or a regular expression",
    summary: "What the operators inside do not match, be it missing.",
    parse: not,
}];

fn and(parser: &mut Parser<'_>, operand: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    Ok(Some(Node::And(branches(parser, "$and", operand)?)))
}

fn or(parser: &mut Parser<'_>, operand: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    Ok(Some(Node::Or(branches(parser, "$or", operand)?)))
}

fn nor(parser: &mut Parser<'_>, operand: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    Ok(Some(Node::Nor(branches(parser, "$nor", operand)?)))
}

fn comment(_: &mut Parser<'_>, _: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    Ok(None)
}

fn branches(parser: &mut Parser<'_>, name: &str, operand: ValueRef<'_>) -> Result<Vec<Node>, FilterError> {
    let ValueRef::Array(list) = operand else {
        return Err(FilterError(format!("{name}: needs an array of filters")));
    };
    if list.is_empty() {
        return Err(FilterError(format!("{name}: needs at least one filter")));
    }
    let mut nodes = Vec::new();
    for (at, branch) in list.iter().enumerate() {
        let ValueRef::Object(object) = branch else {
            return Err(FilterError(format!("{name}: entry {at} is no object")));
        };
        nodes.push(parser.object(object)?);
    }
    Ok(nodes)
}

fn not(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let inner = match operand.value {
        ValueRef::Regex { .. } => pattern::literal(parser, operand)?,
        ValueRef::Object(object) if object.is_empty() => return Err(operand.error("needs operators inside")),
        ValueRef::Object(object) => parser.operators(operand.path, object)?,
        _ => return Err(operand.error("needs an object of operators or a regular expression")),
    };
    Ok(Node::Not(Box::new(inner)))
}
