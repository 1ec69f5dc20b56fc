//! The committer's own, mutable view of the data: what the next group will publish.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::Error;
use crate::collection::{CollectionHandle, CollectionMeta, CollectionState};
use crate::document::record::Document;
use crate::effect::Effect;
use crate::index::{Edit, PageId, Tree};
use crate::lsn::Lsn;
use crate::memtable::{RecordKey, Version};
use crate::record_id::RecordId;
use crate::shared::{Shared, Sources};
use crate::view::{Names, State};

/// Everything that units change. Owned by the committer's thread.
#[derive(Debug)]
pub(crate) struct Working {
    pub(crate) collections: HashMap<u32, CollectionState>,
    pub(crate) names: HashMap<(u8, String), u32>,
    /// How many there are.
    pub(crate) databases: usize,
    pub(crate) next_collection: u32,
    pub(crate) sources: Sources,
    /// The oldest LSN that a reader may still look at.
    pub(crate) lsn_oldest_reader: Lsn,
    /// Pages that trees no longer have since the last checkpoint.
    pub(crate) freed: Vec<(PageId, Lsn)>,
    /// Collections dropped since the last checkpoint.
    pub(crate) dropped: Vec<(u32, Tree, Lsn)>,
    /// Bytes of index pages made since the last checkpoint, about.
    pub(crate) dirty_bytes: usize,
    touched: BTreeSet<u32>,
    renamed: Vec<(u8, String)>,
}

impl Working {
    /// What a published state shows, ready to be changed.
    pub(crate) fn of(state: &State) -> Working {
        let handles = state.databases.iter().flat_map(Names::values);
        let collections: HashMap<u32, CollectionState> =
            handles.map(|handle| (handle.id().0, CollectionState::clone(&handle.0))).collect();
        let names = collections.values().map(|c| ((c.meta.db, c.meta.name.clone()), c.meta.id)).collect();
        Working {
            collections,
            names,
            databases: state.databases.len(),
            next_collection: state.next_collection,
            sources: state.sources.clone(),
            lsn_oldest_reader: state.lsn,
            freed: Vec::new(),
            dropped: Vec::new(),
            dirty_bytes: 0,
            touched: BTreeSet::new(),
            renamed: Vec::new(),
        }
    }

    /// Forgets everything after the published state, whose LSN is the last that was logged.
    pub(crate) fn roll_back(&mut self, state: &State) {
        self.sources.active.truncate(state.lsn);
        let mut fresh = Working::of(state);
        fresh.lsn_oldest_reader = self.lsn_oldest_reader;
        fresh.freed = std::mem::take(&mut self.freed);
        fresh.freed.retain(|(_, lsn)| *lsn <= state.lsn);
        fresh.dropped = std::mem::take(&mut self.dropped);
        fresh.dropped.retain(|(_, _, lsn)| *lsn <= state.lsn);
        fresh.dirty_bytes = self.dirty_bytes;
        *self = fresh;
    }

    /// The next state: the last one with what was touched since.
    pub(crate) fn publish(&mut self, last: &State, lsn: Lsn, page_watermark: PageId) -> State {
        let mut databases = last.databases.clone();
        for (db, name) in self.renamed.drain(..) {
            match self.names.get(&(db, name.clone())) {
                Some(id) => {
                    self.touched.insert(*id);
                }
                None => {
                    if let Some(names) = databases.get_mut(usize::from(db)) {
                        names.remove_mut(name.as_str());
                    }
                }
            }
        }
        for id in std::mem::take(&mut self.touched) {
            let Some(collection) = self.collections.get(&id) else { continue };
            if let Some(names) = databases.get_mut(usize::from(collection.meta.db)) {
                let handle = CollectionHandle(Arc::new(collection.clone()));
                names.insert_mut(Arc::from(collection.meta.name.as_str()), handle);
            }
        }
        State { lsn, databases, sources: self.sources.clone(), next_collection: self.next_collection, page_watermark }
    }

    pub(crate) fn read(&self, shared: &Shared, collection: u32, record: RecordId) -> Result<Version, Error> {
        self.sources.read(shared, (collection, record), Lsn::MAX)
    }

    fn edit<T>(
        &mut self,
        shared: &Shared,
        collection: u32,
        lsn: Lsn,
        change: impl FnOnce(&mut CollectionState, &mut Edit<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.touched.insert(collection);
        let Working { collections, freed, dirty_bytes, .. } = self;
        let state = collections.get_mut(&collection).ok_or_else(|| gone(collection))?;
        state.changed_lsn = state.changed_lsn.max(lsn);
        let mut edit = Edit { pager: &shared.pager, freed, lsn, dirty_bytes };
        change(state, &mut edit)
    }

    fn put(&self, collection: u32, record: RecordId, lsn: Lsn, version: Version) {
        self.sources.active.put((collection, record), lsn, version, self.lsn_oldest_reader);
    }

    /// Counts a document in, and its id into the index.
    fn enter(
        &mut self,
        shared: &Shared,
        (collection, record): RecordKey,
        lsn: Lsn,
        id: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        self.edit(shared, collection, lsn, |state, edit| {
            state.id_index.insert(edit, id, record.0)?;
            state.count += 1;
            state.size += size;
            state.next_record = state.next_record.max(record.0 + 1);
            Ok(())
        })
    }

    /// Counts a document out, and its id out of the index.
    fn leave(&mut self, shared: &Shared, collection: u32, lsn: Lsn, id: &[u8], size: u64) -> Result<(), Error> {
        self.edit(shared, collection, lsn, |state, edit| {
            state.id_index.remove(edit, id)?;
            state.count -= 1;
            state.size -= size;
            Ok(())
        })
    }

    /// Adds a document whose id is known to be free.
    pub(crate) fn insert(
        &mut self,
        shared: &Shared,
        collection: u32,
        record: RecordId,
        lsn: Lsn,
        id: &[u8],
        document: Arc<Document>,
    ) -> Result<(), Error> {
        self.enter(shared, (collection, record), lsn, id, document.body.len() as u64)?;
        self.put(collection, record, lsn, Some(document));
        Ok(())
    }

    /// Undoes [`Working::insert`].
    pub(crate) fn take_back_insert(
        &mut self,
        shared: &Shared,
        collection: u32,
        record: RecordId,
        lsn: Lsn,
        id: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        self.sources.active.pop((collection, record));
        self.leave(shared, collection, lsn, id, size)?;
        // Undone newest first, so this was the last record given out.
        if let Some(state) = self.collections.get_mut(&collection) {
            state.next_record = record.0;
        }
        Ok(())
    }

    /// Gives a document a new version.
    pub(crate) fn replace(
        &mut self,
        shared: &Shared,
        collection: u32,
        record: RecordId,
        lsn: Lsn,
        size_before: u64,
        document: Arc<Document>,
    ) -> Result<(), Error> {
        let size = document.body.len() as u64;
        self.edit(shared, collection, lsn, |state, _| {
            state.size = state.size - size_before + size;
            Ok(())
        })?;
        self.put(collection, record, lsn, Some(document));
        Ok(())
    }

    /// Undoes [`Working::replace`].
    pub(crate) fn take_back_replace(
        &mut self,
        shared: &Shared,
        collection: u32,
        record: RecordId,
        lsn: Lsn,
        size_before: u64,
        size: u64,
    ) -> Result<(), Error> {
        self.sources.active.pop((collection, record));
        self.edit(shared, collection, lsn, |state, _| {
            state.size = state.size - size + size_before;
            Ok(())
        })
    }

    /// Removes a document.
    pub(crate) fn delete(
        &mut self,
        shared: &Shared,
        collection: u32,
        record: RecordId,
        lsn: Lsn,
        id: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        self.leave(shared, collection, lsn, id, size)?;
        self.put(collection, record, lsn, None);
        Ok(())
    }

    /// Undoes [`Working::delete`].
    pub(crate) fn take_back_delete(
        &mut self,
        shared: &Shared,
        collection: u32,
        record: RecordId,
        lsn: Lsn,
        id: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        self.sources.active.pop((collection, record));
        self.enter(shared, (collection, record), lsn, id, size)
    }

    /// Adds a collection.
    pub(crate) fn add(&mut self, state: CollectionState) {
        let (id, db, name) = (state.meta.id, state.meta.db, state.meta.name.clone());
        self.next_collection = self.next_collection.max(id + 1);
        self.renamed.push((db, name.clone()));
        self.names.insert((db, name), id);
        self.collections.insert(id, state);
    }

    /// Takes a collection away.
    pub(crate) fn take(&mut self, collection: u32) -> Result<CollectionState, Error> {
        let state = self.collections.remove(&collection).ok_or_else(|| gone(collection))?;
        let key = (state.meta.db, state.meta.name.clone());
        self.names.remove(&key);
        self.renamed.push(key);
        Ok(state)
    }

    /// Gives a collection another name.
    pub(crate) fn rename(&mut self, collection: u32, to: &str) -> Result<(), Error> {
        let mut state = self.take(collection)?;
        state.meta = Arc::new(CollectionMeta { name: to.to_owned(), ..CollectionMeta::clone(&state.meta) });
        self.add(state);
        Ok(())
    }

    /// Does again what the log says was done.
    pub(crate) fn replay(&mut self, shared: &Shared, lsn: Lsn, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::CreateCollection { collection, db, name, created_ms, options } => {
                let meta = CollectionMeta { id: collection, db, name, created_ms, options };
                self.add(CollectionState::new(meta, &shared.pager));
                Ok(())
            }
            Effect::DropCollection { collection } => {
                let state = self.take(collection)?;
                self.dropped.push((collection, state.id_index, lsn));
                Ok(())
            }
            Effect::RenameCollection { collection, to } => self.rename(collection, &to),
            Effect::Insert { collection, record, body } => {
                let document = Arc::new(Document::new(1, body));
                let id = document.id().into_owned();
                self.insert(shared, collection, record, lsn, &id, document)
            }
            Effect::Replace { collection, record, version, size_before, body } => {
                let document = Arc::new(Document::new(version, body));
                self.replace(shared, collection, record, lsn, size_before, document)
            }
            Effect::Delete { collection, record, size_before, id } => {
                self.delete(shared, collection, record, lsn, &id, size_before)
            }
        }
    }
}

fn gone(collection: u32) -> Error {
    Error::NoSuchCollection(format!("number {collection}"))
}
