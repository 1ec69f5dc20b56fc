//! The committer's own, mutable view of the data: what the next group will publish.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::Error;
use crate::collection::{CollectionHandle, CollectionMeta, CollectionState};
use crate::document::record::Document;
use crate::index::{Delta, EXPIRIES, Edit, Freed, Index, IndexEdit, IndexSpec, PageId, Phase, Tree, expiries};
use crate::lsn::Lsn;
use crate::memtable::{RecordKey, Version};
use crate::names::PastName;
use crate::record_id::RecordId;
use crate::replicate::{TermStart, with_term};
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
    pub(crate) freed: Vec<Freed>,
    /// What was dropped since the last checkpoint.
    pub(crate) dropped: Vec<Dropped>,
    /// What changed for indexes that are being built, by collection and index.
    pub(crate) builds: HashMap<(u32, u32), Delta>,
    /// Indexes whose trees no checkpoint has yet.
    pub(crate) adopted: Vec<(u32, u32)>,
    /// Collections with entries of indexes that no checkpoint has written yet, and their bytes.
    pub(crate) recent_in: BTreeSet<u32>,
    pub(crate) recent_bytes: usize,
    /// Readers have to see something that no unit in the log says.
    pub(crate) publish_due: bool,
    /// Bytes of index pages made since the last checkpoint, about.
    pub(crate) dirty_bytes: usize,
    /// Of the log, oldest first.
    pub(crate) terms: Arc<[TermStart]>,
    /// Names that collections had, oldest first.
    pub(crate) past_names: Arc<Vec<PastName>>,
    touched: BTreeSet<u32>,
    renamed: Vec<(u8, String)>,
}

/// A collection or an index that is gone, and whose space the next checkpoint begins to give back.
#[derive(Debug)]
pub(crate) struct Dropped {
    /// The collection, when it is gone with its documents.
    pub(crate) collection: Option<u32>,
    pub(crate) trees: Vec<Tree>,
    pub(crate) lsn: Lsn,
}

impl Working {
    /// What a published state shows, ready to be changed.
    pub(crate) fn of(state: &State) -> Working {
        let handles = state.databases.iter().flat_map(Names::values);
        let collections: HashMap<u32, CollectionState> =
            handles.map(|handle| (handle.id().0, CollectionState::clone(&handle.0))).collect();
        let names = collections.values().map(|c| ((c.meta.db, c.meta.name.clone()), c.meta.id)).collect();
        let building = |c: &CollectionState| {
            let of = c.meta.id;
            let indexes = c.indexes.iter().filter(|index| index.phase == Phase::Building);
            indexes.map(|index| ((of, index.id), Delta::default())).collect::<Vec<_>>()
        };
        let builds = collections.values().flat_map(building).collect();
        Working {
            collections,
            names,
            databases: state.databases.len(),
            next_collection: state.next_collection,
            sources: state.sources.clone(),
            lsn_oldest_reader: state.lsn,
            freed: Vec::new(),
            dropped: Vec::new(),
            builds,
            adopted: Vec::new(),
            recent_in: BTreeSet::new(),
            recent_bytes: 0,
            publish_due: false,
            dirty_bytes: 0,
            terms: Arc::clone(&state.terms),
            past_names: Arc::clone(&state.past_names),
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
        fresh.freed.retain(|freed| freed.lsn <= state.lsn);
        fresh.dropped = std::mem::take(&mut self.dropped);
        fresh.dropped.retain(|dropped| dropped.lsn <= state.lsn);
        fresh.recent_bytes = self.recent_bytes;
        fresh.recent_in = std::mem::take(&mut self.recent_in);
        for index in fresh.collections.values().flat_map(|state| state.indexes.iter().chain(&state.expiries)) {
            index.recent.truncate(state.lsn);
        }
        fresh.builds.values_mut().for_each(|delta| delta.tainted = true);
        fresh.adopted = std::mem::take(&mut self.adopted);
        let collections = &mut fresh.collections;
        fresh.adopted.retain(|(collection, index)| {
            let state = collections.get_mut(collection).and_then(|state| state.index_mut(*index));
            state.is_some_and(|index| index.phase == Phase::Adopted)
        });
        fresh.dirty_bytes = self.dirty_bytes;
        *self = fresh;
    }

    /// The next state: the last one with what was touched since.
    pub(crate) fn publish(&mut self, last: &State, lsn: Lsn, page_watermark: PageId) -> State {
        let state = self.state(last, lsn, page_watermark);
        self.renamed.clear();
        self.touched.clear();
        state
    }

    /// What would be the next state.
    pub(crate) fn state(&self, last: &State, lsn: Lsn, page_watermark: PageId) -> State {
        let mut databases = last.databases.clone();
        let mut renamed = Vec::new();
        for (db, name) in &self.renamed {
            match self.names.get(&(*db, name.clone())) {
                Some(id) => renamed.push(*id),
                None => {
                    if let Some(names) = databases.get_mut(usize::from(*db)) {
                        names.remove_mut(name.as_str());
                    }
                }
            }
        }
        for id in self.touched.iter().chain(&renamed) {
            let Some(collection) = self.collections.get(id) else { continue };
            if let Some(names) = databases.get_mut(usize::from(collection.meta.db)) {
                let handle = CollectionHandle(Arc::new(collection.clone()));
                names.insert_mut(Arc::from(collection.meta.name.as_str()), handle);
            }
        }
        State {
            lsn,
            databases,
            sources: self.sources.clone(),
            next_collection: self.next_collection,
            page_watermark,
            terms: Arc::clone(&self.terms),
            past_names: Arc::clone(&self.past_names),
        }
    }

    /// Notes the name of a collection that is about to lose it.
    pub(crate) fn note_name(&mut self, collection: u32, lsn: Lsn) {
        if let Some(state) = self.collections.get(&collection) {
            let (db, name) = (state.meta.db, Arc::from(state.meta.name.as_str()));
            Arc::make_mut(&mut self.past_names).push(PastName { collection, db, name, until: lsn });
        }
    }

    /// Undoes [`Working::note_name`].
    pub(crate) fn forget_name(&mut self) {
        Arc::make_mut(&mut self.past_names).pop();
    }

    /// Notes the term of a unit.
    pub(crate) fn note_term(&mut self, term: u64, lsn: Lsn) {
        if self.terms.last().is_none_or(|last| last.term != term) {
            self.terms = with_term(&self.terms, term, lsn).into();
        }
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
        let mut edit = Edit { pager: &shared.pager, freed, lsn, reserved: None, dirty_bytes };
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

    /// Applies edits to the indexes.
    pub(crate) fn reindex(&mut self, collection: u32, lsn: Lsn, edits: &[IndexEdit]) -> Result<(), Error> {
        if edits.is_empty() {
            return Ok(());
        }
        let oldest = self.lsn_oldest_reader;
        let state = self.collections.get_mut(&collection).ok_or_else(|| gone(collection))?;
        for edit in edits {
            let Some(index) = state.index_mut(edit.index) else { continue };
            if index.is_kept() {
                index.multikey |= edit.multikey;
                index.shortened |= edit.shortened;
                let before = index.recent.bytes();
                edit.removed.iter().for_each(|key| index.recent.put(key, false, lsn, oldest));
                edit.added.iter().for_each(|key| index.recent.put(key, true, lsn, oldest));
                // Entries that came and went are forgotten, so it may have become less.
                self.recent_bytes = (self.recent_bytes + index.recent.bytes()).saturating_sub(before);
                self.recent_in.insert(collection);
                if edit.index == EXPIRIES {
                    state.expiring = state.expiring + edit.added.len() as u64 - edit.removed.len() as u64;
                }
            } else if let Some(delta) = self.builds.get_mut(&(collection, edit.index)).filter(|d| d.collecting) {
                delta.multikey |= edit.multikey;
                delta.shortened |= edit.shortened;
                delta.keys.extend(edit.removed.iter().map(|key| (key.clone(), false)));
                delta.keys.extend(edit.added.iter().map(|key| (key.clone(), true)));
            }
        }
        Ok(())
    }

    /// Undoes [`Working::reindex`].
    pub(crate) fn take_back_reindex(&mut self, collection: u32, edits: &[IndexEdit]) -> Result<(), Error> {
        let state = self.collections.get_mut(&collection).ok_or_else(|| gone(collection))?;
        for edit in edits.iter().rev() {
            let Some(index) = state.index_mut(edit.index) else { continue };
            if index.is_kept() {
                edit.added.iter().rev().chain(edit.removed.iter().rev()).for_each(|key| index.recent.pop(key));
                if edit.index == EXPIRIES {
                    state.expiring = state.expiring + edit.removed.len() as u64 - edit.added.len() as u64;
                }
            } else if let Some(delta) = self.builds.get_mut(&(collection, edit.index)) {
                delta.keys.extend(edit.added.iter().map(|key| (key.clone(), false)));
                delta.keys.extend(edit.removed.iter().map(|key| (key.clone(), true)));
            }
        }
        Ok(())
    }

    /// Hands what changed in the indexes to the checkpoint that begins.
    pub(crate) fn freeze_recent(&mut self) {
        self.recent_bytes = 0;
        for collection in std::mem::take(&mut self.recent_in) {
            let Some(state) = self.collections.get_mut(&collection) else { continue };
            let all = state.indexes.iter_mut().chain(&mut state.expiries);
            all.filter(|index| !index.recent.is_empty()).for_each(Index::freeze);
            self.touched.insert(collection);
        }
    }

    /// Takes the trees over that a checkpoint has written; what of it nobody wants is given back.
    pub(crate) fn take_trees(&mut self, trees: Vec<(u32, u32, Tree)>, lsn: Lsn) {
        for (collection, id, tree) in trees {
            let index = self.collections.get_mut(&collection).and_then(|state| state.index_mut(id));
            match index {
                // One that is built again meanwhile has nothing frozen.
                Some(index) if index.frozen.is_some() => {
                    index.tree = tree;
                    index.frozen = None;
                    self.touched.insert(collection);
                }
                _ => self.dropped.push(Dropped { collection: None, trees: vec![tree], lsn }),
            }
        }
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
    pub(crate) fn rename(&mut self, collection: u32, to: &str, lsn: Lsn) -> Result<(), Error> {
        let mut state = self.take(collection)?;
        state.changed_lsn = state.changed_lsn.max(lsn);
        state.meta = Arc::new(CollectionMeta { name: to.to_owned(), ..CollectionMeta::clone(&state.meta) });
        self.add(state);
        Ok(())
    }

    /// Notes that a collection's state is not what readers have.
    pub(crate) fn touch(&mut self, collection: u32, lsn: Lsn) -> Result<&mut CollectionState, Error> {
        self.touched.insert(collection);
        let state = self.collections.get_mut(&collection).ok_or_else(|| gone(collection))?;
        state.changed_lsn = state.changed_lsn.max(lsn);
        Ok(state)
    }

    /// Gives a collection the tree of expiries that a document with one needs. It stays there, empty or not: a unit that is
    /// taken back leaves nothing in it.
    pub(crate) fn need_expiries(&mut self, shared: &Shared, collection: u32) -> Result<(), Error> {
        let state = self.collections.get_mut(&collection).ok_or_else(|| gone(collection))?;
        state.expiries.get_or_insert_with(|| expiries(Tree::new(&shared.pager)));
        Ok(())
    }

    /// Adds an index that is to be built.
    pub(crate) fn add_index(
        &mut self,
        shared: &Shared,
        collection: u32,
        lsn: Lsn,
        id: u32,
        spec: Arc<IndexSpec>,
    ) -> Result<(), Error> {
        let state = self.touch(collection, lsn)?;
        state.next_index = state.next_index.max(id + 1);
        state.indexes.push(Index::new(id, spec, Phase::Building, Tree::new(&shared.pager)));
        self.builds.insert((collection, id), Delta::default());
        Ok(())
    }

    /// Takes an index away.
    pub(crate) fn take_index(&mut self, collection: u32, lsn: Lsn, id: u32) -> Result<Option<Index>, Error> {
        let state = self.touch(collection, lsn)?;
        let Some(at) = state.indexes.iter().position(|index| index.id == id) else { return Ok(None) };
        let index = state.indexes.remove(at);
        self.builds.remove(&(collection, id));
        self.dropped.push(Dropped { collection: None, trees: vec![index.tree.clone()], lsn });
        Ok(Some(index))
    }

    /// Undoes [`Working::take_index`], which was the last thing done.
    pub(crate) fn put_index_back(&mut self, collection: u32, lsn: Lsn, index: Index) -> Result<(), Error> {
        self.dropped.pop();
        if index.phase == Phase::Building {
            self.builds.insert((collection, index.id), Delta { tainted: true, ..Delta::default() });
        }
        let state = self.touch(collection, lsn)?;
        state.indexes.push(index);
        state.indexes.sort_by_key(|index| index.id);
        Ok(())
    }

    /// Marks an index as one that cannot be built. A replica may have built it, before its primary saw that.
    pub(crate) fn fail_index(
        &mut self,
        shared: &Shared,
        collection: u32,
        lsn: Lsn,
        id: u32,
        why: &str,
    ) -> Result<(), Error> {
        self.build_again(shared, collection, lsn, id)?;
        self.builds.remove(&(collection, id));
        if let Some(index) = self.touch(collection, lsn)?.index_mut(id) {
            index.phase = Phase::Failed(why.into());
        }
        Ok(())
    }

    /// Has an index built again from the beginning.
    pub(crate) fn build_again(&mut self, shared: &Shared, collection: u32, lsn: Lsn, id: u32) -> Result<(), Error> {
        let Some(index) = self.touch(collection, lsn)?.index_mut(id) else { return Ok(()) };
        let kept = index.is_kept();
        let spec = Arc::clone(&index.spec);
        let before = std::mem::replace(index, Index::new(id, spec, Phase::Building, Tree::new(&shared.pager)));
        if kept {
            self.dropped.push(Dropped { collection: None, trees: vec![before.tree], lsn });
        }
        self.adopted.retain(|adopted| *adopted != (collection, id));
        self.builds.insert((collection, id), Delta { tainted: true, ..Delta::default() });
        Ok(())
    }

    /// Takes a collection with its documents away.
    pub(crate) fn drop_collection(&mut self, collection: u32, lsn: Lsn) -> Result<CollectionState, Error> {
        let state = self.take(collection)?;
        self.builds.retain(|(of, _), _| *of != collection);
        let trees = state.trees().cloned().collect();
        self.dropped.push(Dropped { collection: Some(collection), trees, lsn });
        Ok(state)
    }

    /// Undoes [`Working::drop_collection`], which was the last thing done.
    pub(crate) fn put_collection_back(&mut self, state: CollectionState) {
        self.dropped.pop();
        for index in state.indexes.iter().filter(|index| index.phase == Phase::Building) {
            self.builds.insert((state.meta.id, index.id), Delta { tainted: true, ..Delta::default() });
        }
        self.add(state);
    }
}

pub(crate) fn gone(collection: u32) -> Error {
    Error::NoSuchCollection(format!("number {collection}"))
}
