//! `$push $addToSet`.

use std::cmp::Ordering;
use std::collections::HashSet;

use veddb_storage::document::ordered;
use veddb_storage::document::path::Path;
use veddb_storage::document::{Object, Packed, Value, ValueRef, codec, order};

use super::{Action, Modifier, Outcome, Terms, UpdateOperator};
use crate::query::sort::Sort;

/// The operators that put elements into arrays.
pub(super) const OPERATORS: &[UpdateOperator] = &[
    UpdateOperator {
        name: "$push",
        operand: "value, or {\"$each\": [value, ...], ..}",
        summary: "Appends to the array; with $each, $position, $sort and $slice.",
        parse: push,
    },
    UpdateOperator {
        name: "$addToSet",
        operand: "value, or {\"$each\": [value, ...]}",
        summary: "Appends what the array does not hold yet; with $each.",
        parse: add_to_set,
    },
];

pub(super) fn not_an_array(value: &Value) -> String {
    format!("the field is of type {}, not an array", value.kind().name())
}

/// What may stand beside the values of a `$push`.
pub struct PushModifier {
    /// With its dollar sign.
    pub name: &'static str,
    /// What it takes, in the notation of the reference.
    pub operand: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    read: fn(&mut Push, &Value) -> Result<(), String>,
}

/// The modifiers of `$push`; `$addToSet` has the first of them.
pub const MODIFIERS: &[PushModifier] = &[
    PushModifier { name: "$each", operand: "[value, ...]", summary: "The values, several at once.", read: each },
    PushModifier {
        name: "$position",
        operand: "n",
        summary: "The index at which they are put in; from the end if it is negative.",
        read: position,
    },
    PushModifier {
        name: "$sort",
        operand: "1, -1, or {path: 1, ...}",
        summary: "The order that the whole array gets then.",
        read: sort,
    },
    PushModifier {
        name: "$slice",
        operand: "n",
        summary: "How many elements stay at last: the first, or the last ones if it is negative.",
        read: slice,
    },
];

/// The members of `{"$each": .., ..}`, if it is that. Anything else is a value.
fn modifiers(value: &Value) -> Option<(&Object, &Value)> {
    let object = value.as_object()?;
    object.get("$each").map(|each| (object, each))
}

fn elements_of(each: &Value) -> Result<Vec<Value>, String> {
    Ok(each.as_array().ok_or("$each needs an array")?.to_vec())
}

fn push(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    let Some((object, _)) = modifiers(value) else {
        let push = Push { values: vec![value.clone()], ..Push::default() };
        return Ok(Action::Modify(Box::new(push)));
    };
    let mut push = Push::default();
    for (name, value) in &object.0 {
        let modifier = MODIFIERS.iter().find(|modifier| modifier.name == name);
        let modifier = modifier.ok_or_else(|| format!("unknown modifier {name}"))?;
        (modifier.read)(&mut push, value)?;
    }
    Ok(Action::Modify(Box::new(push)))
}

fn each(push: &mut Push, value: &Value) -> Result<(), String> {
    push.values = elements_of(value)?;
    Ok(())
}

fn position(push: &mut Push, value: &Value) -> Result<(), String> {
    push.position = Some(value.as_integer().ok_or("$position needs an integer")?);
    Ok(())
}

fn slice(push: &mut Push, value: &Value) -> Result<(), String> {
    push.slice = Some(value.as_integer().ok_or("$slice needs an integer")?);
    Ok(())
}

fn sort(push: &mut Push, value: &Value) -> Result<(), String> {
    push.sort = Some(element_order(value)?);
    Ok(())
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

#[derive(Debug, Default)]
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
                let mut keyed: Vec<(Packed, Value)> =
                    elements.drain(..).map(|value| (codec::pack_value(&value), value)).collect();
                keyed.sort_by(|(a, _), (b, _)| by_keys(sort, a.get(), b.get()));
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

/// The order of two elements by their fields. Unlike in a query's sort an array stands for itself, and what a path
/// does not lead to is null.
fn by_keys(sort: &Sort, a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    for (path, descending) in sort.keys() {
        let order = order::compare(at_path(a, path), at_path(b, path));
        if order.is_ne() {
            return flip(order, *descending);
        }
    }
    Ordering::Equal
}

fn at_path<'a>(value: ValueRef<'a>, path: &Path) -> ValueRef<'a> {
    if !matches!(value, ValueRef::Object(_)) {
        return ValueRef::Null;
    }
    let mut place = value;
    for segment in path.segments() {
        let next = match place {
            ValueRef::Object(object) => object.get(&segment.name),
            ValueRef::Array(array) => segment.index.and_then(|index| array.get(index)),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return ValueRef::Null,
        }
    }
    place
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

fn add_to_set(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    // Only the first name can make it a modifier, as in MongoDB.
    let first = value.as_object().and_then(|object| object.0.first());
    let values = match first {
        Some((name, each)) if name == "$each" => {
            if let Some((other, _)) = value.as_object().and_then(|object| object.0.get(1)) {
                return Err(format!("unknown modifier {other}"));
            }
            elements_of(each)?
        }
        _ => vec![value.clone()],
    };
    Ok(Action::Modify(Box::new(AddToSet(values))))
}

#[derive(Debug)]
struct AddToSet(Vec<Value>);

impl AddToSet {
    fn onto(&self, elements: &mut Vec<Value>) {
        let mut held: HashSet<Vec<u8>> = elements.iter().map(identity).collect();
        let fresh = self.0.iter().filter(|value| held.insert(identity(value))).cloned();
        elements.extend(fresh);
    }
}

/// Bytes that two values share exactly when MongoDB has them for equal: `1` and `1.0` are one element.
pub(super) fn identity(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ordered::put(&mut bytes, codec::pack_value(value).get());
    bytes
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
