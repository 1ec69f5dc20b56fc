//! Update text to changes: names, paths, and that no two changes meet.

use veddb_storage::document::json::parse_value;
use veddb_storage::document::path::Path;
use veddb_storage::document::{Object, Value};

use super::elements::{self, ArrayFilter};
use super::pipeline::Pipeline;
use super::tree::{MATCHED, Node, identifier};
use super::{Action, Change, Changes, OPERATORS, Terms, Update, UpdateOperator, bad_update};
use crate::error::CommandError;
use crate::query::text_limits;

pub(super) fn update_text(
    text: &[u8],
    array_filters: Option<&[u8]>,
    terms: &Terms<'_>,
) -> Result<Update, CommandError> {
    let packed = parse_value(text, text_limits(terms.limits)).map_err(|e| bad_update(e.to_string()))?;
    let filters = array_filters.map(|text| elements::parse_text(text, terms)).transpose()?;
    update(packed.get().to_value(), filters.unwrap_or_default(), terms)
}

pub(super) fn update_value(
    value: Value,
    array_filters: Option<&Value>,
    terms: &Terms<'_>,
) -> Result<Update, CommandError> {
    let filters = array_filters.map(|value| elements::parse(value, terms)).transpose()?;
    update(value, filters.unwrap_or_default(), terms)
}

fn update(value: Value, filters: Vec<ArrayFilter>, terms: &Terms<'_>) -> Result<Update, CommandError> {
    let object = match value {
        Value::Object(object) => object,
        Value::Array(_) if !filters.is_empty() => {
            return Err(bad_update("ARRAYFILTERS: a pipeline has no paths that could use them"));
        }
        Value::Array(stages) => return Pipeline::parse(&stages, terms, &[]).map(Update::Pipeline),
        other => return Err(bad_update(format!("an update is a JSON object, not {}", other.kind().name()))),
    };
    // As in MongoDB, the first name says which of the two it is.
    let operators = object.0.iter().filter(|(name, _)| name.starts_with('$')).count();
    match operators {
        0 if !filters.is_empty() => Err(bad_update("ARRAYFILTERS: a replacement has no paths that could use them")),
        0 => Ok(Update::Replacement(object)),
        n if n == object.0.len() => changes(&object, filters, terms),
        _ => Err(bad_update("operators and plain fields cannot stand side by side")),
    }
}

fn changes(update: &Object, filters: Vec<ArrayFilter>, terms: &Terms<'_>) -> Result<Update, CommandError> {
    let names: Vec<&str> = filters.iter().map(|filter| filter.id.as_str()).collect();
    let mut list = Vec::new();
    for (name, fields) in &update.0 {
        let operator = OPERATORS.iter().flat_map(|(_, family)| family.iter()).find(|o| o.name == name);
        let operator = operator.ok_or_else(|| bad_update(format!("unknown operator {name}")))?;
        let Value::Object(fields) = fields else {
            return Err(bad_update(format!("{name}: needs an object of paths and values")));
        };
        for (path, value) in &fields.0 {
            list.push(change(operator, path, value, &names, terms)?);
        }
        if list.len() + update.0.len() > terms.limits.max_query_nodes {
            return Err(bad_update(format!("more than {} operators and fields", terms.limits.max_query_nodes)));
        }
    }
    check_used(&list, &names)?;
    let tree = Node::new(&list, &names, None)?;
    let matched = list.iter().find_map(|change| matched(&change.path));
    Ok(Update::Changes(Changes { list, tree, matched, filters }))
}

fn change(
    operator: &'static UpdateOperator,
    path: &str,
    value: &Value,
    filters: &[&str],
    terms: &Terms<'_>,
) -> Result<Change, CommandError> {
    let fail = |what: &str| bad_update(format!("{} at {path}: {what}", operator.name));
    let makes = !matches!(operator.name, "$rename" | "$unset");
    check_path(path, filters, makes, terms).map_err(|what| fail(&what))?;
    let action = (operator.parse)(value, terms).map_err(|what| fail(&what))?;
    if let Action::Rename(to) = &action {
        let to = to.to_string();
        if path == "_id" || to == "_id" {
            return Err(fail("_id cannot be changed"));
        }
        check_path(&to, filters, true, terms).map_err(|what| fail(&format!("new name: {what}")))?;
        for name in [path, to.as_str()] {
            if name.split('.').any(|step| step == MATCHED || identifier(step).is_some()) {
                return Err(fail(&format!("{name}: elements of an array cannot be renamed")));
            }
        }
    }
    Ok(Change { operator: operator.name, path: Path::new(path), action, weight: weight(value) })
}

/// What a value takes in memory, roughly. The parser's depth limit bounds it.
fn weight(value: &Value) -> u64 {
    let inside = match value {
        Value::String(text) => text.len() as u64,
        Value::Binary { bytes, .. } => bytes.len() as u64,
        Value::Regex { pattern, .. } => pattern.len() as u64,
        Value::Object(object) => object.0.iter().map(|(name, value)| name.len() as u64 + weight(value)).sum(),
        Value::Array(values) => values.iter().map(weight).sum(),
        _ => 0,
    };
    inside + 8
}

/// Whether a path can be one. No member of a document itself may be made whose name begins with a dollar sign.
fn check_path(path: &str, filters: &[&str], makes: bool, terms: &Terms<'_>) -> Result<(), String> {
    let (mut levels, mut positional) = (0, 0);
    for step in path.split('.') {
        levels += 1;
        if step.is_empty() {
            return Err("the path has an empty segment".into());
        }
        if step.contains('\0') {
            return Err("the path has a zero byte".into());
        }
        if !step.starts_with('$') {
            continue;
        }
        match identifier(step) {
            _ if levels == 1 && (step == MATCHED || identifier(step).is_some()) => {
                return Err(format!("{step} needs the path of an array before it"));
            }
            None if step == MATCHED => positional += 1,
            None if levels == 1 && makes => return Err(format!("{step}: no name of a document starts with $")),
            None => {}
            Some("") => {}
            Some(id) if filters.contains(&id) => {}
            Some(id) => return Err(format!("no array filter for {id}")),
        }
    }
    if positional > 1 {
        return Err("$ stands twice in the path".into());
    }
    if levels > terms.limits.max_document_depth {
        return Err(format!("the path has more than {} levels", terms.limits.max_document_depth));
    }
    Ok(())
}

/// Each array filter must have a path that uses it.
fn check_used(changes: &[Change], filters: &[&str]) -> Result<(), CommandError> {
    let used = |id: &str| {
        changes.iter().any(|change| change.path.segments().iter().any(|step| identifier(&step.name) == Some(id)))
    };
    match filters.iter().find(|id| !used(id)) {
        Some(id) => Err(bad_update(format!("ARRAYFILTERS: no path uses {id}"))),
        None => Ok(()),
    }
}

/// The array that a path's positional `$` is an element of.
fn matched(path: &Path) -> Option<Path> {
    let at = path.segments().iter().position(|step| &*step.name == MATCHED)?;
    let names: Vec<&str> = path.segments().iter().take(at).map(|step| &*step.name).collect();
    Some(Path::new(&names.join(".")))
}
