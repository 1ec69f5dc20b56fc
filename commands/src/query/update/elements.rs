//! ARRAYFILTERS: which elements of an array the `$[id]` of a path stands for.

use veddb_storage::document::filter::Filter;
use veddb_storage::document::json::parse_value;
use veddb_storage::document::{Object, RawObject, Value, codec};

use super::{Terms, bad_update};
use crate::error::CommandError;
use crate::query::{filter_limits, text_limits};

/// The filter of one identifier.
#[derive(Debug)]
pub(super) struct ArrayFilter {
    /// The name that its paths begin with.
    pub(super) id: String,
    filter: Filter,
}

impl ArrayFilter {
    /// Whether it selects this element.
    pub(super) fn selects(&self, element: &Value) -> bool {
        // The filter's paths begin with the identifier, as if the element were a member of that name.
        let body = codec::pack_object(&Object(vec![(self.id.clone(), element.clone())]));
        self.filter.matches(RawObject::from_body(&body))
    }
}

/// Reads an ARRAYFILTERS argument.
pub(super) fn parse_text(text: &[u8], terms: &Terms<'_>) -> Result<Vec<ArrayFilter>, CommandError> {
    let packed = parse_value(text, text_limits(terms.limits)).map_err(|e| bad(e.to_string()))?;
    parse(&packed.get().to_value(), terms)
}

/// Reads the filters: an array of filters, each of one identifier.
pub(super) fn parse(value: &Value, terms: &Terms<'_>) -> Result<Vec<ArrayFilter>, CommandError> {
    let list = value.as_array().ok_or_else(|| bad("needs an array of filters"))?;
    if list.len() > terms.limits.max_query_nodes {
        return Err(bad(format!("more than {} filters", terms.limits.max_query_nodes)));
    }
    let mut filters: Vec<ArrayFilter> = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let object = entry.as_object().ok_or_else(|| bad(format!("entry {at} is no object")))?;
        let packed = codec::pack_object(object);
        let filter = Filter::from_object(RawObject::from_body(&packed), &filter_limits(terms.limits))
            .map_err(|error| bad(format!("entry {at}: {}", error.0)))?;
        if filter.reads_documents() {
            return Err(bad(format!("entry {at}: tests of whole documents, such as $expr, cannot stand in it")));
        }
        let id = identifier(&filter).map_err(|what| bad(format!("entry {at}: {what}")))?;
        if filters.iter().any(|other| other.id == id) {
            return Err(bad(format!("entry {at}: {id} has a filter already")));
        }
        filters.push(ArrayFilter { id, filter });
    }
    Ok(filters)
}

/// The name that all paths of the filter begin with.
fn identifier(filter: &Filter) -> Result<String, String> {
    let mut found: Option<String> = None;
    for path in filter.paths() {
        let name = path.split('.').next().unwrap_or_default();
        match &found {
            Some(other) if other != name => return Err(format!("speaks of {other} and of {name}")),
            _ => found = Some(name.to_owned()),
        }
    }
    let id = found.ok_or("names no element")?;
    let good = id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(|c| c.is_ascii_alphanumeric());
    if good { Ok(id) } else { Err(format!("{id}: an identifier is a small letter, then letters and digits")) }
}

fn bad(what: impl std::fmt::Display) -> CommandError {
    bad_update(format!("ARRAYFILTERS: {what}"))
}
