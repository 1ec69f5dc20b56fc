//! Updates: MongoDB's update language, parsed once into a tree of changes and applied to one document at a time.
//!
//! An operator is one entry in [`OPERATORS`]. Applying changes a copy; the document itself is replaced by whoever
//! called, or left alone when nothing changed.

mod apply;
mod arithmetic;
mod array;
mod bits;
mod elements;
mod field;
mod parse;
pub mod pipeline;
mod pull;
#[cfg(test)]
mod tests;
mod tree;
#[cfg(test)]
mod wrong;

use std::fmt;

use veddb_storage::document::expression::Work;
use veddb_storage::document::filter::Filter;
use veddb_storage::document::json::{IdSource, ParsedDocument, is_wrapper, pack_document, render_object};
use veddb_storage::document::path::Path;
use veddb_storage::document::{Object, RawObject, Value, codec, order};

use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};

pub use array::{MODIFIERS, PushModifier};
use elements::ArrayFilter;
pub use pipeline::{Pipeline, STAGES, Stage, StageOperator};
use tree::Node;

/// A parsed update.
#[derive(Debug)]
pub enum Update {
    /// Changes at paths.
    Changes(Changes),
    /// Another document in its place.
    Replacement(Object),
    /// What stages make of it.
    Pipeline(Pipeline),
}

/// What an update with operators does.
#[derive(Debug)]
pub struct Changes {
    list: Vec<Change>,
    /// The changes by their paths; the positional `$` is a member of that name.
    tree: Node,
    /// The array that the positional `$` is an element of; none where no path has one.
    matched: Option<Path>,
    filters: Vec<ArrayFilter>,
}

/// One operator at one path.
#[derive(Debug)]
pub struct Change {
    operator: &'static str,
    path: Path,
    action: Action,
    /// What its operand weighs: text and a little for each value.
    weight: u64,
}

/// What an operator does at its path.
#[derive(Debug)]
pub enum Action {
    /// Changes what is there.
    Modify(Box<dyn Modifier>),
    /// The same, only in a document that an upsert makes.
    OnInsert(Box<dyn Modifier>),
    /// Moves what is there to another path.
    Rename(Path),
}

/// A change of one value. Errors say what is wrong with the value; operator and path are added by the caller.
pub trait Modifier: fmt::Debug + Send + Sync {
    /// Changes the value in place, or answers what becomes of its place. None is a missing value.
    fn modify(&self, current: Option<&mut Value>) -> Result<Outcome, String>;

    /// What it does where its path ends in nothing, or leads into a value that has no members.
    fn reach(&self) -> Reach {
        Reach::Makes
    }
}

/// What an operator does where its path does not lead to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Makes a missing place and its parents.
    Makes,
    /// Leaves a missing place alone. A path into a value without members is an error, as it is for those that make places.
    Needs,
    /// Leaves either alone.
    Tolerates,
}

/// What becomes of a place.
#[derive(Debug)]
pub enum Outcome {
    /// It stays: changed in place, or still missing.
    Stay,
    /// It gets this value.
    Put(Value),
    /// It goes.
    Remove,
}

/// What an update is read under.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'t> {
    /// The language's bounds.
    pub limits: &'t Limits,
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
}

/// An update operator.
pub struct UpdateOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// What it takes, in the notation of the reference.
    pub operand: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Reads the value beside one path.
    pub parse: fn(&Value, &Terms<'_>) -> Result<Action, String>,
}

/// The update operators, by family.
pub const OPERATORS: &[(&str, &[UpdateOperator])] = &[
    ("any value", field::OPERATORS),
    ("arithmetic", arithmetic::OPERATORS),
    ("bits", bits::OPERATORS),
    ("into arrays", array::OPERATORS),
    ("out of arrays", pull::OPERATORS),
];

/// A `BADUPDATE`.
pub(crate) fn bad_update(message: impl Into<String>) -> CommandError {
    CommandError::new(ErrorCode::BadUpdate, message.into())
}

impl Update {
    /// Reads an update argument, and the array filters beside it.
    pub fn parse(text: &[u8], array_filters: Option<&[u8]>, terms: &Terms<'_>) -> Result<Update, CommandError> {
        parse::update_text(text, array_filters, terms)
    }

    /// Reads an update and array filters that are values already.
    pub fn from_value(value: Value, array_filters: Option<&Value>, terms: &Terms<'_>) -> Result<Update, CommandError> {
        parse::update_value(value, array_filters, terms)
    }

    /// Whether it replaces the whole document.
    pub fn is_replacement(&self) -> bool {
        matches!(self, Update::Replacement(_))
    }

    /// Whether it evaluates expressions, which may take long.
    pub fn computes(&self) -> bool {
        matches!(self, Update::Pipeline(_))
    }

    /// The document after the update; None when the update leaves it as it is. The filter is the one that the document
    /// matches; what expressions may do is in `work`.
    pub fn apply(
        &self,
        before: RawObject<'_>,
        filter: &Filter,
        limits: &Limits,
        work: &Work,
    ) -> Result<Option<Box<[u8]>>, CommandError> {
        let old = before.to_object();
        let new = match self {
            Update::Changes(changes) => {
                let matched = changes.matched.as_ref().and_then(|array| filter.matched_element(before, array));
                apply::apply(changes, old.clone(), matched, false, limits)?
            }
            Update::Replacement(object) => object.clone(),
            Update::Pipeline(pipeline) => pipeline.apply(before, limits, pipeline.sight(), work)?,
        };
        if matches!(self, Update::Changes(_)) && new.get("_id").is_none() {
            return Err(bad_update("_id cannot be changed"));
        }
        let body = replaced(&old, new, limits)?;
        // The stored form is canonical, so equal bytes are an equal document, types included.
        // A replacement counts as a change whatever it replaces, as in MongoDB.
        let unchanged = !self.is_replacement() && *body == *codec::pack_object(&old);
        Ok((!unchanged).then_some(body))
    }

    /// The document that an upsert inserts when nothing matched the filter.
    pub fn upsert(
        &self,
        filter: &Filter,
        make_id: &dyn Fn() -> String,
        limits: &Limits,
        work: &Work,
    ) -> Result<ParsedDocument, CommandError> {
        let mut base = Object::default();
        for (path, value) in filter.equalities() {
            if !self.is_replacement() || path.to_string() == "_id" {
                apply::plant(&mut base, path, value.to_value())
                    .map_err(|what| CommandError::new(ErrorCode::BadFilter, format!("upsert: {path}: {what}")))?;
            }
        }
        let id = base.get("_id").cloned();
        let mut new = match self {
            Update::Changes(changes) => apply::apply(changes, base, None, true, limits)?,
            Update::Replacement(object) => object.clone(),
            Update::Pipeline(pipeline) => {
                pipeline.apply(RawObject::from_body(&codec::pack_object(&base)), limits, pipeline.sight(), work)?
            }
        };
        match (&id, new.get("_id")) {
            (Some(id), Some(after)) if order::compare_values(id, after).is_ne() => {
                return Err(bad_update("_id differs from the filter's"));
            }
            (Some(_), None) if matches!(self, Update::Changes(_)) => return Err(bad_update("_id cannot be changed")),
            (Some(id), None) => new.0.insert(0, ("_id".to_owned(), id.clone())),
            _ => {}
        }
        let packed = codec::pack_object(&new);
        let parsed = pack_document(RawObject::from_body(&packed), IdSource::Generate(make_id))?;
        check_size(&new, &parsed.body, limits)?;
        Ok(parsed)
    }
}

/// The stored form of a document that takes the place of another, whose `_id` it keeps.
pub(crate) fn replaced(old: &Object, mut new: Object, limits: &Limits) -> Result<Box<[u8]>, CommandError> {
    let id = old.get("_id").cloned().unwrap_or(Value::Null);
    match new.get("_id") {
        Some(after) if order::compare_values(&id, after).is_eq() => new.set("_id", id),
        None => new.0.insert(0, ("_id".to_owned(), id)),
        Some(_) => return Err(bad_update("_id cannot be changed")),
    }
    let packed = codec::pack_object(&new);
    let parsed = pack_document(RawObject::from_body(&packed), IdSource::Generate(&String::new))?;
    check_size(&new, &parsed.body, limits)?;
    Ok(parsed.body)
}

/// The name that an object inside begins with, if it is one that makes the object a typed value where it is read again.
// The depth of the document was checked, which bounds the recursion.
fn wrapper_within(value: &Value) -> Option<&str> {
    match value {
        Value::Object(object) => {
            let first = object.0.first().map(|(name, _)| name.as_str()).filter(|name| is_wrapper(name));
            first.or_else(|| object.0.iter().find_map(|(_, value)| wrapper_within(value)))
        }
        Value::Array(values) => values.iter().find_map(wrapper_within),
        _ => None,
    }
}

/// No update may make what an insert may not bring.
pub(crate) fn check_size(new: &Object, body: &[u8], limits: &Limits) -> Result<(), CommandError> {
    let too_big = |message: String| Err(CommandError::new(ErrorCode::TooBig, message));
    let levels = 1 + new.0.iter().map(|(_, v)| v.depth()).max().unwrap_or(0);
    if levels > limits.max_document_depth {
        return too_big(format!("it would have more than {} levels of nesting", limits.max_document_depth));
    }
    if let Some(name) = new.0.iter().find_map(|(_, value)| wrapper_within(value)) {
        return Err(bad_update(format!("an object that begins with {name} would be read as a typed value")));
    }
    // No packed value becomes more than 16 times as long as JSON, so small documents need not be written out.
    if body.len().saturating_mul(16) > limits.max_document_size {
        let mut text = Vec::with_capacity(body.len() * 2);
        render_object(&mut text, RawObject::from_body(body));
        if text.len() > limits.max_document_size {
            return too_big(format!("it would have more than {} bytes of JSON", limits.max_document_size));
        }
    }
    Ok(())
}
