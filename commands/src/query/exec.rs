//! Running a plan on one moment of the data: candidates in natural order, asked the filter.

use std::sync::Arc;

use veddb_storage::document::Filter;
use veddb_storage::{CollectionHandle, Document, RecordId};

use super::plan::Plan;
use crate::context::ReadContext;
use crate::error::CommandError;

/// Every how many candidates a scan asks whether it should go on.
const CHECK_EVERY: usize = 64;

/// Hands each matching document to `each`, in natural order, until it answers false.
pub fn matching(
    context: &ReadContext<'_>,
    collection: &CollectionHandle,
    filter: &Filter,
    plan: &Plan,
    max_time_ms: Option<u64>,
    mut each: impl FnMut(RecordId, Arc<Document>) -> bool,
) -> Result<(), CommandError> {
    match plan {
        Plan::IdLookup(keys) => {
            let mut records = Vec::with_capacity(keys.len());
            for (at, key) in keys.iter().enumerate() {
                if at % CHECK_EVERY == 0 {
                    context.check(max_time_ms)?;
                }
                records.extend(context.view.find_id(collection, key)?);
            }
            records.sort_unstable();
            for (at, record) in records.into_iter().enumerate() {
                if at % CHECK_EVERY == 0 {
                    context.check(max_time_ms)?;
                }
                let Some(document) = context.view.record(collection, record)? else { continue };
                if filter.matches(document.root()) && !each(record, document) {
                    break;
                }
            }
        }
        Plan::Scan => {
            for (at, found) in context.view.scan(collection).enumerate() {
                if at % CHECK_EVERY == 0 {
                    context.check(max_time_ms)?;
                }
                let (record, document) = found?;
                if filter.matches(document.root()) && !each(record, document) {
                    break;
                }
            }
        }
    }
    Ok(())
}
