//! Update text to changes: names, paths, and that no two changes meet.

use veddb_storage::document::json::parse_value;
use veddb_storage::document::path::Path;
use veddb_storage::document::{Object, Value};

use super::{Action, Change, OPERATORS, Update, UpdateOperator, bad_update, path_order};
use crate::context::Limits;
use crate::error::CommandError;
use crate::query::text_limits;

pub(super) fn update_text(text: &[u8], limits: &Limits) -> Result<Update, CommandError> {
    let packed = parse_value(text, text_limits(limits)).map_err(|e| bad_update(e.to_string()))?;
    update_value(packed.get().to_value(), limits)
}

pub(super) fn update_value(value: Value, limits: &Limits) -> Result<Update, CommandError> {
    let object = match value {
        Value::Object(object) => object,
        Value::Array(_) => return Err(bad_update("a pipeline is not an update this version knows")),
        other => return Err(bad_update(format!("an update is a JSON object, not {}", other.kind().name()))),
    };
    let operators = object.0.iter().filter(|(name, _)| name.starts_with('$')).count();
    match operators {
        0 => Ok(Update::Replacement(object)),
        n if n == object.0.len() => changes(&object, limits),
        _ => Err(bad_update("operators and plain fields cannot stand side by side")),
    }
}

fn changes(update: &Object, limits: &Limits) -> Result<Update, CommandError> {
    let mut changes = Vec::new();
    for (name, fields) in &update.0 {
        let operator = OPERATORS.iter().flat_map(|group| group.iter()).find(|o| o.name == name);
        let operator = operator.ok_or_else(|| bad_update(format!("unknown operator {name}")))?;
        let Value::Object(fields) = fields else {
            return Err(bad_update(format!("{name}: needs an object of paths and values")));
        };
        for (path, value) in &fields.0 {
            changes.push(change(operator, path, value, limits)?);
        }
        if changes.len() + update.0.len() > limits.max_query_nodes {
            return Err(bad_update(format!("more than {} operators and fields", limits.max_query_nodes)));
        }
    }
    changes.sort_by(|a, b| path_order(a.path.segments(), b.path.segments()));
    check_conflicts(&changes)?;
    Ok(Update::Changes(changes))
}

fn change(
    operator: &'static UpdateOperator,
    path: &str,
    value: &Value,
    limits: &Limits,
) -> Result<Change, CommandError> {
    let fail = |what: &str| bad_update(format!("{} at {path}: {what}", operator.name));
    check_path(path, limits).map_err(|what| fail(&what))?;
    let action = (operator.parse)(value, limits).map_err(|what| fail(&what))?;
    if let Action::Rename(to) = &action {
        check_path(&to.to_string(), limits).map_err(|what| fail(&format!("new name: {what}")))?;
    }
    Ok(Change { operator: operator.name, path: Path::new(path), action })
}

fn check_path(path: &str, limits: &Limits) -> Result<(), String> {
    let mut levels = 0;
    for segment in path.split('.') {
        levels += 1;
        if segment.is_empty() {
            return Err("the path has an empty segment".into());
        }
        if segment.starts_with('$') {
            return Err(format!("{segment}: names that start with $ cannot be changed"));
        }
    }
    if levels > limits.max_document_depth {
        return Err(format!("the path has more than {} levels", limits.max_document_depth));
    }
    Ok(())
}

/// Refuses two changes of which one is at, above or below the other: their outcome would hang on their order.
fn check_conflicts(changes: &[Change]) -> Result<(), CommandError> {
    let mut touched: Vec<(&Path, &'static str)> = Vec::new();
    for change in changes {
        touched.push((&change.path, change.operator));
        if let Action::Rename(to) = &change.action {
            touched.push((to, change.operator));
        }
    }
    touched.sort_by(|(a, _), (b, _)| path_order(a.segments(), b.segments()));
    // In this order a path comes right before those below it.
    for ((upper, first), (lower, second)) in touched.iter().zip(touched.iter().skip(1)) {
        if lower.segments().starts_with(upper.segments()) {
            return Err(bad_update(format!("{second} at {lower}: conflicts with {first} at {upper}")));
        }
    }
    Ok(())
}
