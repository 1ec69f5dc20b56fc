//! `$set $unset $setOnInsert $rename $min $max $currentDate`.

use std::cmp::Ordering;

use veddb_storage::document::path::Path;
use veddb_storage::document::{Value, order};

use super::{Action, Modifier, Outcome, Reach, Terms, UpdateOperator};

/// The operators on any value.
pub(super) const OPERATORS: &[UpdateOperator] = &[
    UpdateOperator {
        name: "$set",
        operand: "value",
        summary: "Sets the field, making it and its parents where missing.",
        parse: set,
    },
    UpdateOperator {
        name: "$unset",
        operand: "value",
        summary: "Removes the field; an array's element becomes null.",
        parse: unset,
    },
    UpdateOperator {
        name: "$setOnInsert",
        operand: "value",
        summary: "Sets the field of a document that an upsert makes.",
        parse: set_on_insert,
    },
    UpdateOperator { name: "$rename", operand: "path", summary: "Moves the field to another path.", parse: rename },
    UpdateOperator { name: "$min", operand: "value", summary: "Sets the field if the value is less.", parse: min },
    UpdateOperator { name: "$max", operand: "value", summary: "Sets the field if the value is greater.", parse: max },
    UpdateOperator {
        name: "$currentDate",
        operand: "true, or {\"$type\": \"date\"}",
        summary: "Sets the field to the time: a date, or a timestamp with {\"$type\": \"timestamp\"}.",
        parse: current_date,
    },
];

fn set(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    Ok(Action::Modify(Box::new(Set(value.clone()))))
}

fn set_on_insert(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    Ok(Action::OnInsert(Box::new(Set(value.clone()))))
}

fn unset(_: &Value, _: &Terms<'_>) -> Result<Action, String> {
    Ok(Action::Modify(Box::new(Unset)))
}

fn rename(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    let to = value.as_str().ok_or("needs the new path as a string")?;
    Ok(Action::Rename(Path::new(to)))
}

fn min(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    Ok(Action::Modify(Box::new(Bound { value: value.clone(), wins: Ordering::Less })))
}

fn max(value: &Value, _: &Terms<'_>) -> Result<Action, String> {
    Ok(Action::Modify(Box::new(Bound { value: value.clone(), wins: Ordering::Greater })))
}

fn current_date(value: &Value, terms: &Terms<'_>) -> Result<Action, String> {
    let wanted = match value {
        Value::Bool(_) => "date",
        Value::Object(object) => match object.0.as_slice() {
            [(name, Value::String(kind))] if name == "$type" => kind,
            _ => return Err("needs true or {\"$type\": \"date\" or \"timestamp\"}".into()),
        },
        other => return Err(format!("needs true or an object, not {}", other.kind().name())),
    };
    let now = match wanted {
        "date" => Value::Date(i64::try_from(terms.now_ms).unwrap_or(i64::MAX)),
        "timestamp" => {
            Value::Timestamp { seconds: u32::try_from(terms.now_ms / 1000).unwrap_or(u32::MAX), increment: 1 }
        }
        _ => return Err("$type is \"date\" or \"timestamp\"".into()),
    };
    Ok(Action::Modify(Box::new(Set(now))))
}

#[derive(Debug)]
struct Set(Value);

impl Modifier for Set {
    fn modify(&self, _: Option<&mut Value>) -> Result<Outcome, String> {
        Ok(Outcome::Put(self.0.clone()))
    }
}

#[derive(Debug)]
struct Unset;

impl Modifier for Unset {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        Ok(if current.is_some() { Outcome::Remove } else { Outcome::Stay })
    }

    fn reach(&self) -> Reach {
        Reach::Tolerates
    }
}

#[derive(Debug)]
struct Bound {
    value: Value,
    wins: Ordering,
}

impl Modifier for Bound {
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String> {
        let keep = current.is_some_and(|current| order::compare_values(&self.value, current) != self.wins);
        Ok(if keep { Outcome::Stay } else { Outcome::Put(self.value.clone()) })
    }
}
