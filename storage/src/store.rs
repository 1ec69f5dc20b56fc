//! INTERFACE STUB while the real modules are written: the shapes of View and Transaction.
#![allow(clippy::todo, missing_docs, unused_variables)]

use crate::{Document, Error};
use std::sync::Arc;

/// The number of a document inside its collection, ascending in order of insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

/// A collection as one moment sees it: name, counts, its `_id` index. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CollectionHandle(Arc<()>);

impl CollectionHandle {
    pub fn id(&self) -> u32 { todo!() }
    pub fn name(&self) -> &str { todo!() }
    /// Documents.
    pub fn count(&self) -> u64 { todo!() }
    /// Bytes of the stored bodies.
    pub fn size(&self) -> u64 { todo!() }
    /// Milliseconds since 1970.
    pub fn created_ms(&self) -> u64 { todo!() }
    /// The LSN of the collection's last change.
    pub fn changed_lsn(&self) -> u64 { todo!() }
    /// The options given at DOC.CREATE, as JSON text ("{}" when none).
    pub fn options(&self) -> &str { todo!() }
    /// Entries and bytes of the `_id` index.
    pub fn id_index_size(&self) -> u64 { todo!() }
}

/// One consistent moment of all the data. Clone is cheap; hold it only as long as a command.
#[derive(Debug, Clone)]
pub struct View(Arc<()>);

impl View {
    pub fn lsn(&self) -> u64 { todo!() }
    pub fn collection(&self, db: u8, name: &str) -> Option<CollectionHandle> { todo!() }
    /// Sorted by name.
    pub fn collections(&self, db: u8) -> Vec<CollectionHandle> { todo!() }
    /// Looks an id's text up in the `_id` index.
    pub fn find_id(&self, coll: &CollectionHandle, id: &[u8]) -> Result<Option<RecordId>, Error> { todo!() }
    pub fn record(&self, coll: &CollectionHandle, record: RecordId) -> Result<Option<Arc<Document>>, Error> { todo!() }
    /// find_id and record in one.
    pub fn get(&self, coll: &CollectionHandle, id: &[u8]) -> Result<Option<Arc<Document>>, Error> { todo!() }
    /// Every document, in natural order (ascending RecordId).
    pub fn scan(&self, coll: &CollectionHandle) -> Scan { todo!() }
}

pub struct Scan(());
impl Iterator for Scan {
    type Item = Result<(RecordId, Arc<Document>), Error>;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}

/// One atomic unit being carried out by the committer. Sees its own changes. If the unit's closure returns an error,
/// everything it did is undone.
#[derive(Debug)]
pub struct Transaction<'a>(&'a mut ());

/// Names a collection inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CollectionId(pub u32);

impl Transaction<'_> {
    /// Milliseconds since 1970, the same for the whole unit.
    pub fn now_ms(&self) -> u64 { todo!() }
    pub fn collection(&self, db: u8, name: &str) -> Option<CollectionId> { todo!() }
    /// The collection of this name, made if there is none. Checks the name (BadCollectionName).
    pub fn collection_or_create(&mut self, db: u8, name: &str) -> Result<CollectionId, Error> { todo!() }
    /// `options` is JSON text; CollectionExists if there is one of this name.
    pub fn create_collection(&mut self, db: u8, name: &str, options: &str) -> Result<CollectionId, Error> { todo!() }
    pub fn collection_options(&self, coll: CollectionId) -> Option<String> { todo!() }
    pub fn drop_collection(&mut self, db: u8, name: &str) -> Result<bool, Error> { todo!() }
    pub fn rename_collection(&mut self, db: u8, from: &str, to: &str) -> Result<(), Error> { todo!() }
    /// The LSN of the collection's last change (0 for one that does not exist).
    pub fn changed_lsn(&self, coll: CollectionId) -> u64 { todo!() }

    pub fn find_id(&mut self, coll: CollectionId, id: &[u8]) -> Result<Option<RecordId>, Error> { todo!() }
    pub fn record(&mut self, coll: CollectionId, record: RecordId) -> Result<Option<Arc<Document>>, Error> { todo!() }
    /// Inserts at version 1; DuplicateKey when the id is taken. `id` is the id's text, `body` the encoded document,
    /// whose first member is `_id`.
    pub fn insert(&mut self, coll: CollectionId, id: &[u8], body: Box<[u8]>) -> Result<RecordId, Error> { todo!() }
    /// A new body for an existing record (same _id); returns the new version.
    pub fn replace(&mut self, coll: CollectionId, record: RecordId, body: Box<[u8]>) -> Result<u64, Error> { todo!() }
    /// Deletes an existing record; the id's text is read from its body.
    pub fn delete(&mut self, coll: CollectionId, record: RecordId) -> Result<(), Error> { todo!() }
    /// Every document of a collection in natural order, as this unit sees it (record ids only).
    pub fn record_ids(&mut self, coll: CollectionId) -> Result<Vec<RecordId>, Error> { todo!() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy { Always, EverySecond, No }
#[derive(Debug, Clone)]
pub struct Options {
    pub dir: std::path::PathBuf,
    pub fsync: FsyncPolicy,
    pub cache_bytes: usize,
    pub index_bytes: usize,
    pub segment_bytes: usize,
}
#[derive(Debug)]
pub struct Store(View);
pub trait Job: Send {
    fn units(&self) -> usize;
    fn run(&mut self, at: usize, txn: &mut Transaction<'_>) -> bool;
    fn finished(self: Box<Self>, outcome: Result<(), Error>);
}
impl Store {
    pub fn open(options: Options) -> Result<Arc<Store>, Error> { Ok(Arc::new(Store(View(Arc::new(()))))) }
    pub fn view(&self) -> View { self.0.clone() }
    pub fn submit(&self, mut job: Box<dyn Job>) -> Result<(), Error> {
        let mut unit = ();
        for at in 0..job.units() { job.run(at, &mut Transaction(&mut unit)); }
        job.finished(Ok(()));
        Ok(())
    }
    pub fn set_fsync_policy(&self, policy: FsyncPolicy) {}
    pub fn close(&self) -> Result<(), Error> { Ok(()) }
}
