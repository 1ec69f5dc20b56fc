//! `$pull $pullAll $pop`.

use std::collections::HashSet;

use veddb_storage::document::filter::{Filter, TREE};
use veddb_storage::document::{Packed, Value, ValueRef, codec, order};

use super::array::{identity, not_an_array};
use super::{Action, Modifier, Outcome, Reach, Terms, UpdateOperator};
use crate::query::filter_limits;

/// The operators that take elements out of arrays.
pub(super) const OPERATORS: &[UpdateOperator] = &[
    UpdateOperator {
        name: "$pull",
        operand: "value, {operator: .., ...}, or a filter",
        summary: "Removes the elements that match.",
        parse: pull,
    },
    UpdateOperator {
        name: "$pullAll",
        operand: "[value, ...]",
        summary: "Removes the elements that are in the list.",
        parse: pull_all,
    },
    UpdateOperator {
        name: "$pop",
        operand: "1, or -1",
        summary: "Removes the last element (1) or the first (-1).",
        parse: pop,
    },
];

fn pull(value: &Value, terms: &Terms<'_>) -> Result<Action, String> {
    let limits = filter_limits(terms.limits);
    let packed = codec::pack_value(value);
    // An object whose first name is an operator of values asks of the elements; any other is a filter over elements that are
    // objects.
    let asks_values = |name: &str| name.starts_with('$') && !TREE.iter().any(|operator| operator.name == name);
    let condition = match packed.get() {
        ValueRef::Object(object) if object.iter().next().is_none_or(|(name, _)| !asks_values(name)) => {
            let filter = Filter::from_object(object, &limits).map_err(|e| e.0)?;
            if filter.reads_documents() {
                return Err("tests of whole documents, such as $expr, cannot stand in its condition".into());
            }
            Condition::Objects(filter)
        }
        condition @ (ValueRef::Object(_) | ValueRef::Regex { .. }) => {
            Condition::Values(Filter::condition(condition, &limits).map_err(|e| e.0)?)
        }
        _ => Condition::Equal(packed),
    };
    Ok(Action::Modify(Box::new(Pull(condition))))
}

fn pull_all(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    let list = value.as_array().ok_or_else(|| format!("needs an array, not {}", value.kind().name()))?;
    Ok(Action::Modify(Box::new(Pull(Condition::OneOf(list.iter().map(identity).collect())))))
}

#[derive(Debug)]
enum Condition {
    Equal(Packed),
    Values(Filter),
    Objects(Filter),
    OneOf(HashSet<Vec<u8>>),
}

#[derive(Debug)]
struct Pull(Condition);

impl Pull {
    fn takes(&self, element: &Value) -> bool {
        if let Condition::OneOf(identities) = &self.0 {
            return identities.contains(&identity(element));
        }
        let packed = codec::pack_value(element);
        match (&self.0, packed.get()) {
            (Condition::Equal(constant), value) => order::compare(constant.get(), value).is_eq(),
            (Condition::Values(filter), value) => filter.matches_value(value),
            (Condition::Objects(filter), ValueRef::Object(object)) => filter.matches(object),
            (Condition::Objects(_) | Condition::OneOf(_), _) => false,
        }
    }
}

impl Modifier for Pull {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        match current {
            None => {}
            Some(Value::Array(elements)) => elements.retain(|element| !self.takes(element)),
            Some(other) => return Err(not_an_array(other)),
        }
        Ok(Outcome::Stay)
    }

    fn reach(&self) -> Reach {
        Reach::Needs
    }
}

fn pop(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    match value.as_integer() {
        Some(1) => Ok(Action::Modify(Box::new(Pop { last: true }))),
        Some(-1) => Ok(Action::Modify(Box::new(Pop { last: false }))),
        _ => Err("needs 1 or -1".into()),
    }
}

#[derive(Debug)]
struct Pop {
    last: bool,
}

impl Modifier for Pop {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        match current {
            None => {}
            Some(Value::Array(elements)) => {
                if self.last {
                    elements.pop();
                } else if !elements.is_empty() {
                    elements.remove(0);
                }
            }
            Some(other) => return Err(not_an_array(other)),
        }
        Ok(Outcome::Stay)
    }

    fn reach(&self) -> Reach {
        Reach::Needs
    }
}
