//! Views: one consistent moment of all the data.

use rpds::HashTrieMapSync;
use std::sync::Arc;

use crate::Error;
use crate::collection::{CollectionHandle, is_own};
use crate::document::record::Document;
use crate::index::{PageId, expired_range};
use crate::keys::{KEYS, key_id};
use crate::lsn::Lsn;
use crate::names::PastName;
use crate::record_id::RecordId;
use crate::replicate::TermStart;
use crate::scan::Scan;
use crate::shared::{Shared, Sources};
use crate::spill::Spills;
use crate::trees::{KeyRange, Trees};

/// The collections of one database by name. Persistent: a copy shares all but what changes.
pub(crate) type Names = HashTrieMapSync<Arc<str>, CollectionHandle>;

/// What readers see until the next group is committed.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) lsn: Lsn,
    pub(crate) databases: Vec<Names>,
    pub(crate) sources: Sources,
    pub(crate) next_collection: u32,
    /// Pages made so far are below this id.
    pub(crate) page_watermark: PageId,
    /// Of the log up to that LSN, oldest first.
    pub(crate) terms: Arc<[TermStart]>,
    /// Names that collections had, as far as the log may be read from.
    pub(crate) past_names: Arc<Vec<PastName>>,
}

/// One consistent moment of all the data. Cheap to make and to clone; hold it only as long as a command, since it keeps
/// old versions from being dropped.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<State>,
    pub(crate) now_ms: u64,
}

impl View {
    /// All that is stored, whatever has expired.
    pub(crate) fn stored(shared: &Arc<Shared>) -> View {
        View { shared: Arc::clone(shared), state: Arc::clone(&shared.state.read()), now_ms: 0 }
    }

    /// The time for which it is, milliseconds since 1970: what had expired then is not there.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The last unit that this view shows.
    pub fn lsn(&self) -> Lsn {
        self.state.lsn
    }

    /// The collection of this name.
    pub fn collection(&self, db: u8, name: &str) -> Option<CollectionHandle> {
        if is_own(name) { None } else { self.own_collection(db, name) }
    }

    /// The same where it may be one of the server's own.
    pub fn own_collection(&self, db: u8, name: &str) -> Option<CollectionHandle> {
        self.state.databases.get(usize::from(db))?.get(name).cloned()
    }

    /// The keys of a database, if there have been any.
    pub fn keys(&self, db: u8) -> Option<CollectionHandle> {
        self.own_collection(db, KEYS)
    }

    /// A key's document.
    pub fn key(&self, db: u8, key: &[u8]) -> Result<Option<Arc<Document>>, Error> {
        self.keys(db).map_or(Ok(None), |keys| self.get(&keys, &key_id(key)))
    }

    /// Counts how many keys a command looked for to read them that were there, and how many that were not.
    pub fn note_lookups(&self, hits: u64, misses: u64) {
        self.shared.lookups.note(hits, misses);
    }

    /// The collections of a database, sorted by name.
    pub fn collections(&self, db: u8) -> Vec<CollectionHandle> {
        let names = self.state.databases.get(usize::from(db));
        let mut all: Vec<CollectionHandle> = names.into_iter().flat_map(|n| n.values().cloned()).collect();
        all.retain(|collection| !is_own(collection.name()));
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// The record of an id, which is given as its text.
    pub fn find_id(&self, collection: &CollectionHandle, id: &[u8]) -> Result<Option<RecordId>, Error> {
        let found = self.trees().find_id(collection, id)?;
        match found {
            Some(record) if collection.0.expiring > 0 => Ok(self.record(collection, record)?.map(|_| record)),
            found => Ok(found),
        }
    }

    /// How many documents of a collection have expired and are still to be deleted: entries of indexes may be theirs.
    pub fn expired(&self, collection: &CollectionHandle) -> Result<u64, Error> {
        match &collection.0.expiries {
            Some(expiries) if collection.0.expiring > 0 => self.trees().count(expiries, &expired_range(self.now_ms)),
            _ => Ok(0),
        }
    }

    /// How many documents of a collection expire, and how long they have to live on average, ms; 0 where so many do that
    /// counting it would take long.
    pub fn lifetimes(&self, collection: &CollectionHandle) -> Result<(u64, u64), Error> {
        const WALKED_MAX: u64 = 10_000;
        let Some(expiries) = &collection.0.expiries else { return Ok((0, 0)) };
        let alive = KeyRange { from: self.now_ms.saturating_add(1).to_be_bytes().to_vec(), to: None };
        let count = self.trees().count(expiries, &alive)?;
        if count == 0 || count > WALKED_MAX {
            return Ok((count, 0));
        }
        let mut sum_ms = 0_u128;
        let mut walk = self.trees().walk(expiries, &alive, false)?;
        while let Some(entry) = walk.entry() {
            let expires_ms = entry.fields.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            sum_ms += u128::from(expires_ms.saturating_sub(self.now_ms));
            walk.advance()?;
        }
        Ok((count, u64::try_from(sum_ms / u128::from(count)).unwrap_or(u64::MAX)))
    }

    /// How many documents a collection has.
    pub fn count(&self, collection: &CollectionHandle) -> Result<u64, Error> {
        Ok(collection.count().saturating_sub(self.expired(collection)?))
    }

    /// The trees of its collections.
    pub fn trees(&self) -> Trees<'_> {
        Trees::new(&self.shared.pager, self.state.lsn)
    }

    /// Where temporary files are made.
    pub fn spills(&self) -> &Spills {
        &self.shared.spills
    }

    /// A document by its record.
    pub fn record(&self, collection: &CollectionHandle, record: RecordId) -> Result<Option<Arc<Document>>, Error> {
        let found = self.state.sources.read(&self.shared, (collection.id().0, record), self.state.lsn)?;
        Ok(found.filter(|document| !document.is_expired(self.now_ms)))
    }

    /// A document by its id's text.
    pub fn get(&self, collection: &CollectionHandle, id: &[u8]) -> Result<Option<Arc<Document>>, Error> {
        match self.trees().find_id(collection, id)? {
            Some(record) => self.record(collection, record),
            None => Ok(None),
        }
    }

    /// Every document of a collection, in natural order (ascending record ids).
    pub fn scan(&self, collection: &CollectionHandle) -> Scan {
        self.scan_from(collection, RecordId(0))
    }

    /// The documents of a collection from this record on, in natural order.
    pub fn scan_from(&self, collection: &CollectionHandle, record: RecordId) -> Scan {
        Scan::new(self.clone(), collection.id().0, record)
    }

    /// How large the `_id` index of a collection is: entries, and bytes of its pages (large indexes are sampled).
    pub fn id_index_size(&self, collection: &CollectionHandle) -> Result<(u64, u64), Error> {
        let size = collection.0.id_index.measure(&self.shared.pager)?;
        Ok((size.entries, size.bytes))
    }

    /// Bytes of what a collection keeps beside its indexes to find documents that expire.
    pub fn expiries_size(&self, collection: &CollectionHandle) -> Result<u64, Error> {
        collection.0.expiries.as_ref().map_or(Ok(0), |expiries| self.trees().size(expiries))
    }
}
