//! Documents whose time has come: found in trees of expiries and in indexes with EXPIREAFTER, deleted as any other document
//! is, in batches.
//!
//! The committer asks again of each document, as it is then, before it deletes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::build::ask;
use crate::collection::{CollectionId, is_own};
use crate::commit::Message;
use crate::document::bounds::{Bounds, Edge, Interval};
use crate::document::ordered::class;
use crate::document::path::Leaf;
use crate::document::{RawObject, ValueRef};
use crate::index::{Index, IndexSpec, expired_range};
use crate::record_id::RecordId;
use crate::shared::Shared;
use crate::view::{Names, View};
use crate::{Error, KeyRange, Walk};

/// Documents deleted in one unit.
const BATCH: usize = 500;
/// A unit ends when it has done this much, bytes.
const UNIT_BYTES: usize = 16 << 20;

/// What is shared with the store's handle.
#[derive(Debug)]
pub(crate) struct Ttl {
    /// Milliseconds between two sweeps.
    pub(crate) interval_ms: AtomicU64,
    pub(crate) sweeps: AtomicU64,
    pub(crate) deleted: AtomicU64,
}

/// The thread that sweeps.
pub(crate) struct Sweeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ttl: Arc<Ttl>,
    pub(crate) queue: SyncSender<Message>,
    pub(crate) closing: Arc<AtomicBool>,
    /// Milliseconds since 1970.
    pub(crate) now_ms: fn() -> u64,
}

impl Sweeper {
    /// Sweeps until the store closes.
    pub(crate) fn run(self) {
        loop {
            std::thread::park_timeout(Duration::from_millis(self.ttl.interval_ms.load(Ordering::Relaxed)));
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            // A replica is told by its primary.
            if self.shared.replica.load(Ordering::Acquire) {
                continue;
            }
            if let Err(error) = self.sweep() {
                // A full disk, or the end of the store; the next sweep finds the same documents.
                tracing::debug!(%error, "a sweep of expired documents ended early");
            }
            self.ttl.sweeps.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn view(&self) -> View {
        View::stored(&self.shared)
    }

    fn sweep(&self) -> Result<(), Error> {
        let (mut expiring, mut due) = (Vec::new(), Vec::new());
        for collection in self.view().state.databases.iter().flat_map(Names::values) {
            if collection.0.expiring > 0 {
                expiring.push((collection.id(), is_own(collection.name())));
            }
            let timed = |index: &&Index| index.is_ready() && index.spec.definition.expire_after_s.is_some();
            due.extend(collection.indexes().iter().filter(timed).map(|index| (collection.id(), index.id)));
        }
        expiring.into_iter().try_for_each(|(collection, own)| self.sweep_expired(collection, own))?;
        due.into_iter().try_for_each(|(collection, index)| self.sweep_index(collection, index))
    }

    /// Deletes the documents of a collection that have expired. Those of the server's own are not counted: keys are counted where
    /// they are deleted.
    fn sweep_expired(&self, of: CollectionId, own: bool) -> Result<(), Error> {
        let range = expired_range((self.now_ms)());
        // What a unit leaves is found by the next walk.
        loop {
            let records = {
                let view = self.view();
                let mut collections = view.state.databases.iter().flat_map(Names::values);
                let found = collections.find(|collection| collection.id() == of);
                let Some(expiries) = found.and_then(|found| found.0.expiries.as_ref()) else { return Ok(()) };
                batch(&mut view.trees().walk(expiries, &range, false)?)?
            };
            if records.is_empty() || self.closing.load(Ordering::Acquire) {
                return Ok(());
            }
            let deleted = ask(&self.queue, move |tx| {
                let mut deleted = 0;
                for record in records {
                    if !tx.exists(of) || tx.bytes() > UNIT_BYTES {
                        break;
                    }
                    deleted += u64::from(tx.delete_expired(of, record)?);
                }
                Ok(deleted)
            })?;
            if deleted == 0 {
                // The collection is gone, others were faster, or the clock went back.
                return Ok(());
            }
            if !own {
                self.ttl.deleted.fetch_add(deleted, Ordering::Relaxed);
            }
        }
    }

    fn sweep_index(&self, of: CollectionId, id: u32) -> Result<(), Error> {
        // A view holds back what is deleted, so each index has its own.
        let view = self.view();
        let mut collections = view.state.databases.iter().flat_map(Names::values);
        let found = collections.find(|collection| collection.id() == of);
        let Some(index) = found.and_then(|found| found.indexes().iter().find(|index| index.id == id)) else {
            return Ok(());
        };
        let Some(seconds) = index.spec.definition.expire_after_s else { return Ok(()) };
        let after_ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        let cutoff_ms = i64::try_from((self.now_ms)()).unwrap_or(i64::MAX).saturating_sub(after_ms);
        for range in expired(&index.spec, cutoff_ms) {
            let mut walk = view.trees().walk(index, &range, false)?;
            loop {
                let records = batch(&mut walk)?;
                if records.is_empty() || self.closing.load(Ordering::Acquire) {
                    break;
                }
                let spec = Arc::clone(&index.spec);
                let deleted = ask(&self.queue, move |tx| {
                    let mut deleted = 0;
                    for record in records {
                        // The next sweep finds what is left.
                        if !tx.has_index(of, id) || tx.bytes() > UNIT_BYTES {
                            break;
                        }
                        let Some(document) = tx.record(of, record)? else { continue };
                        if is_expired(&spec, document.root(), cutoff_ms) {
                            tx.delete(of, record, &document)?;
                            deleted += 1;
                        }
                    }
                    Ok(deleted)
                })?;
                self.ttl.deleted.fetch_add(deleted, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// The records of the next entries, as many as one unit deletes.
fn batch(walk: &mut Walk<'_>) -> Result<Vec<RecordId>, Error> {
    let mut records = Vec::new();
    while records.len() < BATCH
        && let Some(entry) = walk.entry()
    {
        records.push(entry.record);
        walk.advance()?;
    }
    Ok(records)
}

/// Where the dates up to the cutoff are.
fn expired(spec: &IndexSpec, cutoff_ms: i64) -> Vec<KeyRange> {
    let dates = Interval { low: Interval::class(class::DATE).low, high: Edge::after(ValueRef::Date(cutoff_ms)) };
    spec.key_ranges(&[Bounds::new(vec![dates], true)]).0
}

/// Whether the earliest date in the field has come. An index with EXPIREAFTER has one field.
fn is_expired(spec: &IndexSpec, document: RawObject<'_>, cutoff_ms: i64) -> bool {
    let is_date = |value: Option<ValueRef<'_>>| matches!(value, Some(ValueRef::Date(ms)) if ms <= cutoff_ms);
    let in_index = spec.partial.as_ref().is_none_or(|filter| filter.matches(document));
    in_index && spec.fields.iter().any(|field| field.path.any(document, Leaf::Elements, &mut |value| is_date(value)))
}
