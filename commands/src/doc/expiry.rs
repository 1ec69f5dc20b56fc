//! Expiries of documents: what the commands on them share.

use std::sync::Arc;

use veddb_storage::{CollectionId, Document, RecordId, Transaction};

use super::collection;
use crate::args::Args;
use crate::context::{Prepared, ReadContext, WriteContext};
use crate::error::CommandError;
use crate::expiry::{Clock, Condition};
use crate::reply::Reply;

/// A document by its id, as the unit sees it.
pub(super) fn found(
    tx: &mut Transaction<'_>,
    db: u8,
    name: &str,
    id: &[u8],
) -> Result<Option<(CollectionId, RecordId, Arc<Document>)>, CommandError> {
    let Some(collection) = tx.collection(db, name) else { return Ok(None) };
    let Some(record) = tx.find_id(collection, id)? else { return Ok(None) };
    Ok(tx.record(collection, record)?.map(|document| (collection, record, document)))
}

/// What DOC.EXPIRE and its like do: gives a document an expiry.
pub(super) fn expire(
    args: &Args,
    context: &WriteContext<'_>,
    clock: Clock,
    command: &str,
) -> Result<Prepared, CommandError> {
    let condition = Condition::read(args, 4)?;
    let moment = clock.read(args, 3, context, command)?;
    let (db, name, id) = (context.db, args.text(1)?.to_owned(), args.bytes(2).clone());
    Ok(Prepared::Unit(Box::new(move |tx| {
        let Some((collection, record, document)) = found(tx, db, &name, &id)? else { return Ok(Reply::Integer(0)) };
        let expires_ms = moment.expires_ms(tx.now_ms());
        if !condition.holds(document.expires_ms, expires_ms) {
            return Ok(Reply::Integer(0));
        }
        tx.set_expiry(collection, record, &document, expires_ms)?;
        Ok(Reply::Integer(1))
    })))
}

/// What DOC.TTL and its like do: -2 without a document, -1 without an expiry, else what `shown` makes of it.
pub(super) fn show(
    args: &Args,
    context: &ReadContext<'_>,
    shown: impl FnOnce(u64) -> u64,
) -> Result<Reply, CommandError> {
    let Some(collection) = collection(args, 1, context)? else { return Ok(Reply::Integer(-2)) };
    Ok(match context.view.get(&collection, args.bytes(2))? {
        None => Reply::Integer(-2),
        Some(document) if document.expires_ms == 0 => Reply::Integer(-1),
        Some(document) => Reply::count(shown(document.expires_ms)),
    })
}
