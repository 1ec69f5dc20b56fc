//! One atomic unit being carried out by the committer.
//!
//! Checks everything against the committer's working state, which contains the units of the group before it. A unit that
//! fails is undone change by change; nothing of it reaches the log.

mod indexes;

use std::sync::{Arc, OnceLock};

use crate::Error;
use crate::collection::{
    CollectionHandle, CollectionId, CollectionMeta, CollectionState, check_name, is_own, is_temporary,
};
use crate::document::RawObject;
use crate::document::record::Document;
use crate::effect::{EffectWriter, Rewrite};
use crate::index::{Index, IndexEdit};
use crate::keys::{KEYS, key_of};
use crate::lsn::Lsn;
use crate::note::Note;
use crate::record_id::RecordId;
use crate::shared::Shared;
use crate::trees::Trees;
use crate::view::View;
use crate::working::Working;

/// The largest unit the log takes, in bytes of its effects.
pub(crate) const UNIT_BYTES_MAX: usize = 512 << 20;

/// What undoes a change.
pub(crate) enum Undo {
    Create { collection: u32 },
    Drop { state: Box<CollectionState> },
    Rename { collection: u32, from: String },
    Insert { collection: u32, record: RecordId, id: Box<[u8]>, size: u64, edits: Vec<IndexEdit> },
    Replace { collection: u32, record: RecordId, size_before: u64, size: u64, edits: Vec<IndexEdit> },
    Delete { collection: u32, record: RecordId, id: Box<[u8]>, size: u64, edits: Vec<IndexEdit> },
    CreateIndex { collection: u32, index: u32 },
    DropIndex { collection: u32, index: Box<Index> },
}

/// How far a unit came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark {
    changes: usize,
    effect_bytes: usize,
    effects: u32,
    notes: usize,
    keys_expired: u64,
}

/// One atomic unit. Sees its own changes; an error from its closure undoes all of them.
pub struct Transaction<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) working: &'a mut Working,
    pub(crate) lsn: Lsn,
    now_ms: u64,
    pub(crate) effects: &'a mut EffectWriter,
    pub(crate) undo: Vec<Undo>,
    notes: Vec<Note>,
    keys_expired: u64,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("lsn", &self.lsn).finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    /// A unit that will have this LSN if it changes anything. `effects` must be empty.
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        working: &'a mut Working,
        lsn: Lsn,
        now_ms: u64,
        effects: &'a mut EffectWriter,
    ) -> Transaction<'a> {
        Transaction { shared, working, lsn, now_ms, effects, undo: Vec::new(), notes: Vec::new(), keys_expired: 0 }
    }

    /// How many effects there are, once the unit has succeeded.
    pub(crate) fn count(&self) -> u32 {
        self.effects.count
    }

    /// Undoes everything, newest first.
    pub(crate) fn undo(&mut self) -> Result<(), Error> {
        self.undo_to(Mark::default())
    }

    /// How far the unit came, for [`Transaction::undo_to`].
    pub fn mark(&self) -> Mark {
        Mark {
            changes: self.undo.len(),
            effect_bytes: self.effects.bytes.len(),
            effects: self.effects.count,
            notes: self.notes.len(),
            keys_expired: self.keys_expired,
        }
    }

    /// What readers would see if the unit ended here. Of no use once the unit goes on.
    pub fn view(&self) -> View {
        let last = Arc::clone(&self.shared.state.read());
        let state = self.working.state(&last, self.lsn, self.shared.pager.watermark());
        View { shared: Arc::clone(self.shared), state: Arc::new(state), now_ms: self.now_ms }
    }

    /// Undoes what was done since, newest first.
    pub fn undo_to(&mut self, mark: Mark) -> Result<(), Error> {
        let (shared, lsn) = (self.shared, self.lsn);
        let working = &mut *self.working;
        while self.undo.len() > mark.changes
            && let Some(undo) = self.undo.pop()
        {
            match undo {
                Undo::Create { collection } => {
                    working.take(collection)?;
                }
                Undo::Drop { state } => {
                    working.put_collection_back(*state);
                    working.forget_name();
                }
                Undo::Rename { collection, from } => {
                    working.rename(collection, &from, lsn)?;
                    working.forget_name();
                }
                Undo::Insert { collection, record, id, size, edits } => {
                    working.take_back_reindex(collection, &edits)?;
                    working.take_back_insert(shared, collection, record, lsn, &id, size)?;
                }
                Undo::Replace { collection, record, size_before, size, edits } => {
                    working.take_back_reindex(collection, &edits)?;
                    working.take_back_replace(shared, collection, record, lsn, size_before, size)?;
                }
                Undo::Delete { collection, record, id, size, edits } => {
                    working.take_back_reindex(collection, &edits)?;
                    working.take_back_delete(shared, collection, record, lsn, &id, size)?;
                }
                Undo::CreateIndex { collection, index } => {
                    working.take_index(collection, lsn, index)?;
                    working.dropped.pop();
                }
                Undo::DropIndex { collection, index } => working.put_index_back(collection, lsn, *index)?,
            }
        }
        self.effects.bytes.truncate(mark.effect_bytes);
        self.effects.count = mark.effects;
        self.notes.truncate(mark.notes);
        self.keys_expired = mark.keys_expired;
        Ok(())
    }

    /// Milliseconds since 1970, the same for the whole unit.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What the unit noted, and how many keys it deleted that had expired.
    pub(crate) fn take_notes(&mut self) -> (Vec<Note>, u64) {
        (std::mem::take(&mut self.notes), self.keys_expired)
    }

    /// Has those who listen told, once the unit is durable, that this happened to a key; `class` is a letter of Redis's
    /// `notify-keyspace-events`.
    pub fn note_key(&mut self, db: u8, class: char, event: &'static str, key: &[u8]) {
        if self.shared.notes.of_keys() {
            self.notes.push(Note::Key { db, class, event, key: key.into() });
        }
    }

    /// The same of a document in a collection that is not the server's own.
    pub(crate) fn note_document(&mut self, collection: CollectionId, op: &'static str, id: &[u8], version: u64) {
        if !self.shared.notes.of_documents() {
            return;
        }
        let Some(state) = self.working.collections.get(&collection.0).filter(|state| !is_own(&state.meta.name)) else {
            return;
        };
        let (db, collection) = (state.meta.db, state.meta.name.clone());
        self.notes.push(Note::Document { db, collection, op, id: id.into(), version });
    }

    /// The collection of this name, unless it is one of the server's own.
    pub fn collection(&self, db: u8, name: &str) -> Option<CollectionId> {
        if is_own(name) { None } else { self.own_collection(db, name) }
    }

    /// The same where it may be one of the server's own.
    pub fn own_collection(&self, db: u8, name: &str) -> Option<CollectionId> {
        self.working.names.get(&(db, name.to_owned())).map(|id| CollectionId(*id))
    }

    /// The collection of this name, made if there is none.
    pub fn collection_or_create(&mut self, db: u8, name: &str) -> Result<CollectionId, Error> {
        match self.collection(db, name) {
            Some(collection) => Ok(collection),
            None => self.create_collection(db, name, "{}"),
        }
    }

    /// Makes a collection; `options` is JSON text.
    pub fn create_collection(&mut self, db: u8, name: &str, options: &str) -> Result<CollectionId, Error> {
        check_name(name)?;
        self.make_collection(db, name, options)
    }

    /// Makes a collection that readers do not see, and that is dropped at the next start unless it was given another name;
    /// its name begins with [`crate::OWN_PREFIX`].
    pub fn create_own_collection(&mut self, db: u8, name: &str, options: &str) -> Result<CollectionId, Error> {
        if !is_own(name) {
            return Err(Error::BadCollectionName(format!("{name} is not a name of the server's own")));
        }
        self.make_collection(db, name, options)
    }

    /// How many databases there are.
    pub fn databases(&self) -> usize {
        self.working.databases
    }

    /// The names of a database's collections, but for the server's own.
    pub fn collections(&self, db: u8) -> Vec<String> {
        let names = self.working.names.keys().filter(|(of, name)| *of == db && !is_own(name));
        names.map(|(_, name)| name.clone()).collect()
    }

    /// The server's own collections that do not outlive a start.
    pub(crate) fn temporary_collections(&self) -> Vec<(u8, String)> {
        self.working.names.keys().filter(|(_, name)| is_temporary(name)).cloned().collect()
    }

    pub(crate) fn make_collection(&mut self, db: u8, name: &str, options: &str) -> Result<CollectionId, Error> {
        if usize::from(db) >= self.working.databases {
            return Err(Error::BadCollectionName(format!("there is no database {db}")));
        }
        if self.own_collection(db, name).is_some() {
            return Err(Error::CollectionExists(name.to_owned()));
        }
        let collection = self.working.next_collection;
        let meta = CollectionMeta {
            id: collection,
            db,
            name: name.to_owned(),
            created_ms: self.now_ms,
            options: options.to_owned(),
            schema: OnceLock::new(),
        };
        self.working.add(CollectionState { changed_lsn: self.lsn, ..CollectionState::new(meta, &self.shared.pager) });
        self.effects.create(collection, db, name, self.now_ms, options);
        self.undo.push(Undo::Create { collection });
        Ok(CollectionId(collection))
    }

    /// The options of a collection, as JSON text.
    pub fn collection_options(&self, collection: CollectionId) -> Option<String> {
        self.working.collections.get(&collection.0).map(|c| c.meta.options.clone())
    }

    /// Drops a collection that is not the server's own; false when there is none. Its space is reclaimed in the background.
    pub fn drop_collection(&mut self, db: u8, name: &str) -> Result<bool, Error> {
        if is_own(name) { Ok(false) } else { self.drop_own_collection(db, name) }
    }

    /// The same where it may be one of the server's own.
    pub fn drop_own_collection(&mut self, db: u8, name: &str) -> Result<bool, Error> {
        let Some(CollectionId(collection)) = self.own_collection(db, name) else { return Ok(false) };
        self.note_document(CollectionId(collection), "drop", b"", 0);
        self.working.note_name(collection, self.lsn);
        let state = self.working.drop_collection(collection, self.lsn)?;
        self.effects.drop(collection);
        self.undo.push(Undo::Drop { state: Box::new(state) });
        Ok(true)
    }

    /// Gives a collection that is not the server's own a new name, which must be free.
    pub fn rename_collection(&mut self, db: u8, from: &str, to: &str) -> Result<(), Error> {
        if is_own(from) {
            return Err(Error::NoSuchCollection(from.to_owned()));
        }
        self.rename_own_collection(db, from, to)
    }

    /// The same where it may be one of the server's own: it is not any more.
    pub fn rename_own_collection(&mut self, db: u8, from: &str, to: &str) -> Result<(), Error> {
        check_name(to)?;
        let collection = self.own_collection(db, from).ok_or_else(|| Error::NoSuchCollection(from.to_owned()))?;
        if from == to {
            return Ok(());
        }
        if self.collection(db, to).is_some() {
            return Err(Error::CollectionExists(to.to_owned()));
        }
        self.working.note_name(collection.0, self.lsn);
        self.working.rename(collection.0, to, self.lsn)?;
        self.effects.rename(collection.0, to);
        self.undo.push(Undo::Rename { collection: collection.0, from: from.to_owned() });
        Ok(())
    }

    /// The LSN of the collection's last change; 0 when there is no such collection.
    pub fn changed_lsn(&self, collection: CollectionId) -> Lsn {
        self.working.collections.get(&collection.0).map_or(0, |c| c.changed_lsn)
    }

    /// The record of an id, which is given as its text. Also that of a document that has expired, of which
    /// [`Transaction::record`] knows nothing any more.
    pub fn find_id(&mut self, collection: CollectionId, id: &[u8]) -> Result<Option<RecordId>, Error> {
        let Some(state) = self.working.collections.get(&collection.0) else { return Ok(None) };
        Ok(state.id_index.get(&self.shared.pager, id)?.map(RecordId))
    }

    /// A document by its record; none when it has expired.
    pub fn record(&mut self, collection: CollectionId, record: RecordId) -> Result<Option<Arc<Document>>, Error> {
        let now_ms = self.now_ms;
        Ok(self.working.read(self.shared, collection.0, record)?.filter(|document| !document.is_expired(now_ms)))
    }

    /// Inserts a document at version 1. `id` is the id's text, `body` the stored form, whose first member is `_id`.
    pub fn insert(&mut self, collection: CollectionId, id: &[u8], body: Box<[u8]>) -> Result<RecordId, Error> {
        self.insert_expiring(collection, id, body, 0)
    }

    /// The same with an expiry, milliseconds since 1970; 0 for none. What has expired by now is deleted in this unit.
    pub fn insert_expiring(
        &mut self,
        collection: CollectionId,
        id: &[u8],
        body: Box<[u8]>,
        expires_ms: u64,
    ) -> Result<RecordId, Error> {
        let holder = self.existing(collection)?.id_index.get(&self.shared.pager, id)?;
        if let Some(holder) = holder
            && !self.delete_expired(collection, RecordId(holder))?
        {
            return Err(Error::DuplicateKey {
                collection: self.existing(collection)?.meta.name.clone(),
                index: "_id_".to_owned(),
                key: serde_json::Value::from(String::from_utf8_lossy(id)).to_string(),
            });
        }
        let state = self.existing(collection)?;
        state.meta.check_schema(None, RawObject::from_body(&body))?;
        let record = RecordId(state.next_record);
        self.room_for(body.len())?;
        let size = body.len() as u64;
        let document = Arc::new(Document::expiring(1, expires_ms, body));
        let edits = self.index_edits(collection, record, None, Some(&document))?;
        self.effects.insert(collection.0, record, &document);
        self.working.insert(self.shared, collection.0, record, self.lsn, id, document)?;
        self.working.reindex(collection.0, self.lsn, &edits)?;
        self.undo.push(Undo::Insert { collection: collection.0, record, id: id.into(), size, edits });
        self.note_document(collection, "insert", id, 1);
        if expires_ms != 0 {
            self.delete_expired(collection, record)?;
        }
        Ok(record)
    }

    /// Gives a document a new body (with the same `_id`); returns its new version. Its expiry stays. `before` is the document
    /// as [`Transaction::record`] gave it in this unit: whoever changes a document has looked at it.
    pub fn replace(
        &mut self,
        collection: CollectionId,
        record: RecordId,
        before: &Document,
        body: Box<[u8]>,
    ) -> Result<u64, Error> {
        self.replace_expiring(collection, record, before, body, before.expires_ms)
    }

    /// The same with another expiry; as in [`Transaction::insert_expiring`].
    pub fn replace_expiring(
        &mut self,
        collection: CollectionId,
        record: RecordId,
        before: &Document,
        body: Box<[u8]>,
        expires_ms: u64,
    ) -> Result<u64, Error> {
        self.existing(collection)?.meta.check_schema(Some(before.root()), RawObject::from_body(&body))?;
        let version = before.version + 1;
        self.put(collection, record, before, Document::expiring(version, expires_ms, body), Rewrite::Whole)?;
        Ok(version)
    }

    /// The same where the new body is the old one with changes: whoever reads the log is told so. Its expiry stays.
    pub fn update(
        &mut self,
        collection: CollectionId,
        record: RecordId,
        before: &Document,
        body: Box<[u8]>,
    ) -> Result<u64, Error> {
        self.existing(collection)?.meta.check_schema(Some(before.root()), RawObject::from_body(&body))?;
        let version = before.version + 1;
        let document = Document::expiring(version, before.expires_ms, body);
        self.put(collection, record, before, document, Rewrite::Changed)?;
        Ok(version)
    }

    /// Gives a document another expiry, as in [`Transaction::insert_expiring`]. It is the same document, so the version stays.
    pub fn set_expiry(
        &mut self,
        collection: CollectionId,
        record: RecordId,
        before: &Document,
        expires_ms: u64,
    ) -> Result<(), Error> {
        if expires_ms == before.expires_ms {
            return Ok(());
        }
        let document = Document::expiring(before.version, expires_ms, before.body.clone());
        self.put(collection, record, before, document, Rewrite::Expiry)
    }

    /// Puts a document in the place of another.
    fn put(
        &mut self,
        collection: CollectionId,
        record: RecordId,
        before: &Document,
        document: Document,
        rewrite: Rewrite,
    ) -> Result<(), Error> {
        self.room_for(document.body.len())?;
        let (size_before, size) = (before.body.len() as u64, document.body.len() as u64);
        let expires = document.expires_ms != 0;
        let changed = document.version != before.version;
        let edits = self.index_edits(collection, record, Some(before), Some(&document))?;
        self.effects.replace(collection.0, record, size_before, &document, rewrite);
        let version = document.version;
        self.working.replace(self.shared, collection.0, record, self.lsn, size_before, Arc::new(document))?;
        self.working.reindex(collection.0, self.lsn, &edits)?;
        self.undo.push(Undo::Replace { collection: collection.0, record, size_before, size, edits });
        if changed {
            self.note_document(collection, "update", &before.id(), version);
        }
        if expires {
            self.delete_expired(collection, record)?;
        }
        Ok(())
    }

    /// Deletes a document if it has expired; whether it had.
    pub(crate) fn delete_expired(&mut self, collection: CollectionId, record: RecordId) -> Result<bool, Error> {
        if self.existing(collection)?.expiring == 0 {
            return Ok(false);
        }
        let found = self.working.read(self.shared, collection.0, record)?;
        let Some(document) = found.filter(|document| document.is_expired(self.now_ms)) else { return Ok(false) };
        self.delete(collection, record, &document)?;
        let meta = &self.existing(collection)?.meta;
        if meta.name == KEYS {
            let db = meta.db;
            self.keys_expired += 1;
            self.note_key(db, 'x', "expired", key_of(&document));
        }
        Ok(true)
    }

    /// Deletes a document; `before` is as in [`Transaction::replace`].
    pub fn delete(&mut self, collection: CollectionId, record: RecordId, before: &Document) -> Result<(), Error> {
        let id: Box<[u8]> = before.id().into();
        let size = before.body.len() as u64;
        let edits = self.index_edits(collection, record, Some(before), None)?;
        self.effects.delete(collection.0, record, before.version, size, &id);
        self.working.delete(self.shared, collection.0, record, self.lsn, &id, size)?;
        self.working.reindex(collection.0, self.lsn, &edits)?;
        self.note_document(collection, "delete", &id, before.version);
        self.undo.push(Undo::Delete { collection: collection.0, record, id, size, edits });
        Ok(())
    }

    /// The collection as this unit sees it, for queries inside the unit.
    pub fn handle(&self, collection: CollectionId) -> Option<CollectionHandle> {
        self.working.collections.get(&collection.0).map(|state| CollectionHandle(Arc::new(state.clone())))
    }

    /// Whether the collection is still there.
    pub(crate) fn exists(&self, collection: CollectionId) -> bool {
        self.working.collections.contains_key(&collection.0)
    }

    /// The trees of that collection.
    pub fn trees(&self) -> Trees<'_> {
        Trees::new(&self.shared.pager, Lsn::MAX)
    }

    /// The parts that the builder of indexes works on.
    pub(crate) fn parts(&mut self) -> (&Shared, &mut Working, Lsn, &mut EffectWriter) {
        (self.shared, self.working, self.lsn, self.effects)
    }

    /// Every record of a collection, in natural order, as this unit sees it. For the rare unit that has to look at all
    /// documents while nobody else writes.
    pub fn record_ids(&mut self, collection: CollectionId) -> Result<Vec<RecordId>, Error> {
        let state = self.existing(collection)?;
        let mut records: Vec<RecordId> = state.id_index.values(&self.shared.pager)?.into_iter().map(RecordId).collect();
        records.sort_unstable();
        Ok(records)
    }

    /// Bytes of what the unit has done so far. One that does the same to many documents had better end when this is large.
    pub fn bytes(&self) -> usize {
        self.effects.bytes.len()
    }

    pub(crate) fn existing(&self, collection: CollectionId) -> Result<&CollectionState, Error> {
        let found = self.working.collections.get(&collection.0);
        found.ok_or_else(|| Error::NoSuchCollection(format!("number {}", collection.0)))
    }

    fn room_for(&self, bytes: usize) -> Result<(), Error> {
        if self.effects.bytes.len() + bytes > UNIT_BYTES_MAX {
            return Err(Error::TooBig(format!("one atomic unit may change at most {UNIT_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}
