//! Which documents a filter has to look at.
//!
//! A plan only narrows: whatever it yields is still asked the whole filter, so every plan gives the same answer.

use veddb_storage::document::Filter;

use crate::error::{CommandError, ErrorCode};

/// How the candidates of a query are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Looks these keys up in the `_id` index.
    IdLookup(Vec<Vec<u8>>),
    /// Looks at every document, in natural order.
    Scan,
}

/// The index on `_id`, by which HINT may name it.
pub const ID_INDEX: &str = "_id_";

impl Plan {
    /// The plan for a filter, with the index that a HINT named.
    pub fn new(filter: &Filter, hint: Option<&str>) -> Result<Plan, CommandError> {
        match hint {
            None | Some(ID_INDEX) => {}
            Some(other) => return Err(CommandError::new(ErrorCode::NoIndex, format!("no index {other}"))),
        }
        Ok(filter.id_keys().map_or(Plan::Scan, Plan::IdLookup))
    }
}
