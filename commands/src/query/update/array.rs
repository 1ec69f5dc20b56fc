//! `$push $pull $addToSet`.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use veddb_storage::document::filter::Filter;
use veddb_storage::document::{Object, Packed, RawObject, Value, ValueRef, codec, order};

use super::{Action, Modifier, Outcome, UpdateOperator};
use crate::context::Limits;
use crate::query::filter_limits;
use crate::query::sort::{Sort, SortKey};

/// The operators on arrays.
pub(super) const OPERATORS: &[UpdateOperator] = &[
    UpdateOperator {
        name: "$push",
        summary: "Appends to the array; with $each, $position, $sort and $slice.",
        parse: push,
    },
    UpdateOperator { name: "$pull", summary: "Removes the elements that match.", parse: pull },
    UpdateOperator {
        name: "$addToSet",
        summary: "Appends what the array does not hold yet; with $each.",
        parse: add_to_set,
    },
];

fn not_an_array(value: &Value) -> String {
    format!("the field is of type {}, not an array", value.kind().name())
}

/// The members of `{"$each": .., ..}`, if it is that.
fn modifiers(value: &Value) -> Option<&Object> {
    value.as_object().filter(|o| o.0.first().is_some_and(|(name, _)| name.starts_with('$')))
}

fn each(object: &Object) -> Result<Vec<Value>, String> {
    let list = object.get("$each").ok_or("modifiers need $each beside them")?;
    Ok(list.as_array().ok_or("$each needs an array")?.to_vec())
}

fn push(value: &Value, _: &Limits) -> Result<Action, String> {
    let Some(object) = modifiers(value) else {
        let push = Push { values: vec![value.clone()], position: None, slice: None, sort: None };
        return Ok(Action::Modify(Box::new(push)));
    };
    let mut push = Push { values: each(object)?, position: None, slice: None, sort: None };
    for (name, value) in &object.0 {
        let integer = || value.as_integer().ok_or_else(|| format!("{name} needs an integer"));
        match name.as_str() {
            "$each" => {}
            "$position" => push.position = Some(integer()?),
            "$slice" => push.slice = Some(integer()?),
            "$sort" => push.sort = Some(element_order(value)?),
            other => return Err(format!("unknown modifier {other}")),
        }
    }
    Ok(Action::Modify(Box::new(push)))
}

fn element_order(value: &Value) -> Result<ElementOrder, String> {
    if value.kind().is_number() {
        return match value.as_integer() {
            Some(1) => Ok(ElementOrder::Whole(false)),
            Some(-1) => Ok(ElementOrder::Whole(true)),
            _ => Err("$sort needs 1 or -1".into()),
        };
    }
    let packed = codec::pack_value(value);
    let ValueRef::Object(keys) = packed.get() else {
        return Err("$sort needs 1, -1 or an object of them".into());
    };
    Sort::from_object(keys).map(ElementOrder::Keys).map_err(|what| format!("$sort: {what}"))
}

#[derive(Debug)]
enum ElementOrder {
    /// By the whole element; true is descending.
    Whole(bool),
    /// By fields of the elements.
    Keys(Sort),
}

#[derive(Debug)]
struct Push {
    values: Vec<Value>,
    position: Option<i64>,
    slice: Option<i64>,
    sort: Option<ElementOrder>,
}

impl Push {
    fn onto(&self, elements: &mut Vec<Value>) {
        let at = match self.position {
            None => elements.len(),
            Some(at) if at >= 0 => usize::try_from(at).unwrap_or(usize::MAX).min(elements.len()),
            Some(from_end) => {
                elements.len().saturating_sub(usize::try_from(from_end.unsigned_abs()).unwrap_or(usize::MAX))
            }
        };
        elements.splice(at..at, self.values.iter().cloned());
        match &self.sort {
            None => {}
            Some(ElementOrder::Whole(descending)) => {
                let mut keyed: Vec<(Packed, Value)> =
                    elements.drain(..).map(|value| (codec::pack_value(&value), value)).collect();
                keyed.sort_by(|(a, _), (b, _)| flip(order::compare(a.get(), b.get()), *descending));
                elements.extend(keyed.into_iter().map(|(_, value)| value));
            }
            Some(ElementOrder::Keys(sort)) => {
                let empty = RawObject::EMPTY;
                let mut keyed: Vec<(SortKey, Value)> = elements
                    .drain(..)
                    .map(|value| {
                        let packed = codec::pack_value(&value);
                        let object = if let ValueRef::Object(object) = packed.get() { object } else { empty };
                        (sort.key(object), value)
                    })
                    .collect();
                keyed.sort_by(|(a, _), (b, _)| sort.compare(a, b));
                elements.extend(keyed.into_iter().map(|(_, value)| value));
            }
        }
        let Some(slice) = self.slice else { return };
        let keep = usize::try_from(slice.unsigned_abs()).unwrap_or(usize::MAX);
        if slice >= 0 {
            elements.truncate(keep);
        } else {
            elements.drain(..elements.len().saturating_sub(keep));
        }
    }
}

fn flip(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

impl Modifier for Push {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        match current {
            Some(Value::Array(elements)) => {
                self.onto(elements);
                Ok(Outcome::Stay)
            }
            Some(other) => Err(not_an_array(other)),
            None => {
                let mut elements = Vec::new();
                self.onto(&mut elements);
                Ok(Outcome::Put(Value::Array(elements)))
            }
        }
    }
}

fn pull(value: &Value, limits: &Limits) -> Result<Action, String> {
    let limits = filter_limits(limits);
    let packed = codec::pack_value(value);
    let condition = match packed.get() {
        // A plain object is a filter over elements that are objects.
        ValueRef::Object(object) if modifiers(value).is_none() => {
            let filter = Filter::from_object(object, &limits).map_err(|e| e.0)?;
            if filter.reads_documents() {
                return Err("tests of whole documents, such as $expr, cannot stand in its condition".into());
            }
            PullCondition::Objects(filter)
        }
        condition @ (ValueRef::Object(_) | ValueRef::Regex { .. }) => {
            PullCondition::Values(Filter::condition(condition, &limits).map_err(|e| e.0)?)
        }
        _ => PullCondition::Equal(packed),
    };
    Ok(Action::Modify(Box::new(Pull(condition))))
}

#[derive(Debug)]
enum PullCondition {
    Equal(Packed),
    Values(Filter),
    Objects(Filter),
}

#[derive(Debug)]
struct Pull(PullCondition);

impl Modifier for Pull {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        match current {
            None => {}
            Some(Value::Array(elements)) => elements.retain(|element| {
                let packed = codec::pack_value(element);
                !match (&self.0, packed.get()) {
                    (PullCondition::Equal(constant), value) => order::compare(constant.get(), value).is_eq(),
                    (PullCondition::Values(filter), value) => filter.matches_value(value),
                    (PullCondition::Objects(filter), ValueRef::Object(object)) => filter.matches(object),
                    (PullCondition::Objects(_), _) => false,
                }
            }),
            Some(other) => return Err(not_an_array(other)),
        }
        Ok(Outcome::Stay)
    }

    fn creates(&self) -> bool {
        false
    }
}

fn add_to_set(value: &Value, _: &Limits) -> Result<Action, String> {
    let values = match modifiers(value) {
        None => vec![value.clone()],
        Some(object) => {
            if let Some((other, _)) = object.0.iter().find(|(name, _)| name != "$each") {
                return Err(format!("unknown modifier {other}"));
            }
            each(object)?
        }
    };
    Ok(Action::Modify(Box::new(AddToSet(values))))
}

#[derive(Debug)]
struct AddToSet(Vec<Value>);

impl AddToSet {
    fn onto(&self, elements: &mut Vec<Value>) {
        let mut held: BTreeSet<ByOrder> = elements.iter().map(|e| ByOrder(codec::pack_value(e))).collect();
        let fresh = self.0.iter().filter(|value| held.insert(ByOrder(codec::pack_value(value)))).cloned();
        elements.extend(fresh);
    }
}

impl Modifier for AddToSet {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        match current {
            Some(Value::Array(elements)) => {
                self.onto(elements);
                Ok(Outcome::Stay)
            }
            Some(other) => Err(not_an_array(other)),
            None => {
                let mut elements = Vec::new();
                self.onto(&mut elements);
                Ok(Outcome::Put(Value::Array(elements)))
            }
        }
    }
}

/// Equality of values as MongoDB has it: `1` and `1.0` are one element.
#[derive(Debug)]
struct ByOrder(Packed);

impl Ord for ByOrder {
    fn cmp(&self, other: &ByOrder) -> Ordering {
        order::compare(self.0.get(), other.0.get())
    }
}

impl PartialOrd for ByOrder {
    fn partial_cmp(&self, other: &ByOrder) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByOrder {
    fn eq(&self, other: &ByOrder) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByOrder {}
