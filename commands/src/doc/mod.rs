//! DOC.*: documents and collections, one file a command, and the few things they share.
//!
//! Does not know how documents are stored or matched.

use uuid::Uuid;
use veddb_storage::document::json::{IdSource, ParsedDocument, parse_document};
use veddb_storage::{CollectionHandle, Transaction};

use crate::args::Args;
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};
pub(crate) use crate::query::text_limits as parse_limits;

pub mod aggregate;
pub mod bulk;
pub mod changes;
pub mod collections;
pub mod count;
pub mod create;
pub mod cursor;
pub mod del;
pub mod delete;
pub mod distinct;
pub mod drop;
pub mod exists;
pub mod expire;
pub mod expireat;
pub mod expiretime;
mod expiry;
pub mod explain;
pub mod find;
pub mod findandmodify;
pub mod get;
pub mod insert;
pub mod mget;
pub mod persist;
pub mod pexpire;
pub mod pexpireat;
pub mod pexpiretime;
pub mod pttl;
pub mod rename;
pub mod set;
pub mod stats;
pub mod ttl;
pub mod update;

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

/// A new id: a UUIDv7, which ascends with time.
pub(crate) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// A document whose `_id` may be missing; then it gets a new one.
pub(crate) fn new_document(text: &[u8], limits: &Limits) -> Result<ParsedDocument, CommandError> {
    Ok(parse_document(text, parse_limits(limits), IdSource::Generate(&new_id))?)
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

/// Whether an error is one document's fault, so that others can go on. A full disk is everybody's.
pub(crate) fn is_of_one_document(error: &CommandError) -> bool {
    use ErrorCode as Code;
    matches!(
        error.code,
        Code::BadDoc | Code::BadFilter | Code::BadUpdate | Code::DupKey | Code::Conflict | Code::TooBig | Code::Schema
    )
}
