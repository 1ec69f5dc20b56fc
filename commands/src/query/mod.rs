//! The query language above single documents: plans and their execution, projections, sorting, updates, JSONPath.

mod draft;
pub mod exec;
pub mod find;
pub(crate) mod jsonpath;
pub mod modify;
pub mod plan;
pub mod project;
pub mod sort;
pub mod update;
pub mod write;

use veddb_storage::document::filter::{Filter, FilterError, FilterLimits};
use veddb_storage::document::json::ParseLimits;

use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};

/// The bounds of one JSON text.
pub(crate) fn text_limits(limits: &Limits) -> ParseLimits {
    ParseLimits { size: limits.max_document_size, depth: limits.max_document_depth }
}

/// The bounds of one filter.
pub(crate) fn filter_limits(limits: &Limits) -> FilterLimits {
    FilterLimits { text: text_limits(limits), nodes: limits.max_query_nodes, regex_size: limits.max_regex_size }
}

/// Reads a filter argument.
pub(crate) fn parse_filter(text: &[u8], limits: &Limits) -> Result<Filter, CommandError> {
    Filter::parse(text, &filter_limits(limits)).map_err(bad_filter)
}

pub(crate) fn bad_filter(error: FilterError) -> CommandError {
    CommandError::new(ErrorCode::BadFilter, error.0)
}
