//! DOC.*: documents and collections, one file a command, and the few things they share.
//!
//! Does not know how documents are stored or matched.

use uuid::Uuid;
use veddb_storage::document::json::{IdSource, ParseLimits, ParsedDocument, parse_document};
use veddb_storage::{CollectionHandle, Transaction};

use crate::args::Args;
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};

pub mod collections;
pub mod create;
pub mod del;
pub mod drop;
pub mod exists;
pub mod get;
pub mod insert;
pub mod mget;
pub mod rename;
pub mod set;
pub mod stats;

/// The bounds of JSON that these limits ask for.
pub(crate) fn parse_limits(limits: &Limits) -> ParseLimits {
    ParseLimits { size: limits.max_document_size, depth: limits.max_document_depth }
}

/// Argument `at` as the name of a collection that may be made. Checked before anything is queued.
pub(crate) fn new_collection_name(args: &Args, at: usize) -> Result<String, CommandError> {
    let name = args.text(at)?;
    veddb_storage::check_name(name)?;
    Ok(name.to_owned())
}

/// The collection named by argument `at`, if it exists. A name that none may have is none.
pub(crate) fn collection(
    args: &Args,
    at: usize,
    context: &ReadContext<'_>,
) -> Result<Option<CollectionHandle>, CommandError> {
    Ok(context.view.collection(context.db, args.text(at)?))
}

/// A document whose `_id` may be missing; then it gets a UUIDv7, which ascends with time.
pub(crate) fn new_document(text: &[u8], limits: &Limits) -> Result<ParsedDocument, CommandError> {
    let make_id = || Uuid::now_v7().to_string();
    Ok(parse_document(text, parse_limits(limits), IdSource::Generate(&make_id))?)
}

/// `CONFLICT` with the version that the document has.
pub(crate) fn conflict(current: u64, expected: u64) -> CommandError {
    CommandError::new(ErrorCode::Conflict, format!("the version is {current}, not {expected}"))
}

/// The version of a document; 0 when there is none.
pub(crate) fn version_of(
    transaction: &mut Transaction<'_>,
    db: u8,
    name: &str,
    id: &[u8],
) -> Result<u64, CommandError> {
    let Some(collection) = transaction.collection(db, name) else { return Ok(0) };
    let Some(record) = transaction.find_id(collection, id)? else { return Ok(0) };
    Ok(transaction.record(collection, record)?.map_or(0, |document| document.version))
}
