//! JSONPath (RFC 9535) over a document's JSON.

use jsonpath_rust::JsonPath;
use serde_json::Value;

use crate::error::{CommandError, ErrorCode};

/// The nodes that the path selects, in order.
pub fn select<'v>(root: &'v Value, path: &str) -> Result<Vec<&'v Value>, CommandError> {
    root.query(path).map_err(|error| CommandError::new(ErrorCode::BadPath, format!("{path}: {error}")))
}
