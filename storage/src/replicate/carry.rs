//! Carrying out an effect of the primary's log: the same change, with this store's own indexes.
//!
//! Which entries of indexes a document loses is worked out here and not taken from the primary: builds end at other moments
//! on each of the two. What goes to this store's log is what this store did.

use std::sync::{Arc, OnceLock};

use crate::Error;
use crate::collection::{CollectionId, CollectionMeta, CollectionState};
use crate::document::record::Document;
use crate::effect::{Effect, Rewrite};
use crate::index::{IndexDefinition, IndexEdit, IndexSpec, edits, expiry_edit};
use crate::record_id::RecordId;
use crate::transaction::{Transaction, Undo};

impl Transaction<'_> {
    /// Does what the primary did. Unique indexes in which two documents have one key now are added to `doubtful`: the
    /// primary's is not built yet, so this one may not be either, once the unit is done.
    pub(super) fn carry_out(&mut self, effect: Effect, doubtful: &mut Vec<(u32, u32)>) -> Result<(), Error> {
        match effect {
            Effect::CreateCollection { collection, db, name, created_ms, options } => {
                self.carry_create(collection, db, name, created_ms, options)
            }
            Effect::DropCollection { collection } => {
                self.note_document(CollectionId(collection), "drop", b"", 0);
                self.existing(CollectionId(collection))?;
                self.working.note_name(collection, self.lsn);
                let state = self.working.drop_collection(collection, self.lsn)?;
                self.effects.drop(collection);
                self.undo.push(Undo::Drop { state: Box::new(state) });
                Ok(())
            }
            Effect::RenameCollection { collection, to } => {
                let state = self.existing(CollectionId(collection))?;
                let (db, from) = (state.meta.db, state.meta.name.clone());
                if self.own_collection(db, &to).is_some() {
                    return Err(unfit("the new name of a collection is taken"));
                }
                self.working.note_name(collection, self.lsn);
                self.working.rename(collection, &to, self.lsn)?;
                self.effects.rename(collection, &to);
                self.undo.push(Undo::Rename { collection, from });
                Ok(())
            }
            Effect::Insert { collection, record, expires_ms, body } => {
                self.carry_insert(collection, record, Document::expiring(1, expires_ms, body), doubtful)
            }
            Effect::Replace { collection, record, rewrite, version, expires_ms, body, .. } => {
                let document = Document::expiring(version, expires_ms, body);
                self.carry_replace(collection, record, document, rewrite, doubtful)
            }
            Effect::Delete { collection, record, .. } => self.carry_delete(collection, record, doubtful),
            Effect::CreateIndex { collection, index, definition } => {
                let parsed: IndexDefinition =
                    serde_json::from_str(&definition).map_err(|e| Error::BadIndex(e.to_string()))?;
                let spec = Arc::new(IndexSpec::new(parsed)?);
                if self.existing(CollectionId(collection))?.indexes.iter().any(|known| known.id == index) {
                    return Err(unfit("a new index has the number of another"));
                }
                self.working.add_index(self.shared, collection, self.lsn, index, spec)?;
                self.effects.create_index(collection, index, &definition);
                self.undo.push(Undo::CreateIndex { collection, index });
                Ok(())
            }
            Effect::DropIndex { collection, index } => {
                let taken = self.working.take_index(collection, self.lsn, index)?;
                let taken = taken.ok_or_else(|| unfit("an index to be dropped is not there"))?;
                self.effects.drop_index(collection, index);
                self.undo.push(Undo::DropIndex { collection, index: Box::new(taken) });
                Ok(())
            }
            Effect::FailIndex { collection, index, why } => {
                // A unit of its own, which cannot fail any more.
                self.working.fail_index(self.shared, collection, self.lsn, index, &why)?;
                self.effects.fail_index(collection, index, &why);
                Ok(())
            }
            Effect::Unindex { .. } => Ok(()),
        }
    }

    fn carry_create(
        &mut self,
        collection: u32,
        db: u8,
        name: String,
        created_ms: u64,
        options: String,
    ) -> Result<(), Error> {
        if usize::from(db) >= self.databases() {
            return Err(unfit(&format!("there is no database {db}: databases is lower here")));
        }
        if self.own_collection(db, &name).is_some() || self.exists(CollectionId(collection)) {
            return Err(unfit("a new collection has the name or the number of another"));
        }
        self.effects.create(collection, db, &name, created_ms, &options);
        let meta = CollectionMeta { id: collection, db, name, created_ms, options, schema: OnceLock::new() };
        self.working.add(CollectionState { changed_lsn: self.lsn, ..CollectionState::new(meta, &self.shared.pager) });
        self.undo.push(Undo::Create { collection });
        Ok(())
    }

    fn carry_insert(
        &mut self,
        collection: u32,
        record: RecordId,
        document: Document,
        doubtful: &mut Vec<(u32, u32)>,
    ) -> Result<(), Error> {
        let id: Box<[u8]> = document.id().into();
        let state = self.existing(CollectionId(collection))?;
        if record.0 < state.next_record || state.id_index.get(&self.shared.pager, &id)?.is_some() {
            return Err(unfit("a new document has the record or the id of another"));
        }
        let edits = self.carried_edits(collection, record, None, Some(&document), doubtful)?;
        let size = document.body.len() as u64;
        self.effects.insert(collection, record, &document);
        self.working.insert(self.shared, collection, record, self.lsn, &id, Arc::new(document))?;
        self.working.reindex(collection, self.lsn, &edits)?;
        self.note_document(CollectionId(collection), "insert", &id, 1);
        self.undo.push(Undo::Insert { collection, record, id, size, edits });
        Ok(())
    }

    fn carry_replace(
        &mut self,
        collection: u32,
        record: RecordId,
        document: Document,
        rewrite: Rewrite,
        doubtful: &mut Vec<(u32, u32)>,
    ) -> Result<(), Error> {
        let before = self.carried_before(collection, record)?;
        let edits = self.carried_edits(collection, record, Some(&before), Some(&document), doubtful)?;
        let (size_before, size) = (before.body.len() as u64, document.body.len() as u64);
        let version = document.version;
        self.effects.replace(collection, record, size_before, &document, rewrite);
        self.working.replace(self.shared, collection, record, self.lsn, size_before, Arc::new(document))?;
        self.working.reindex(collection, self.lsn, &edits)?;
        if version != before.version {
            self.note_document(CollectionId(collection), "update", &before.id(), version);
        }
        self.undo.push(Undo::Replace { collection, record, size_before, size, edits });
        Ok(())
    }

    fn carry_delete(&mut self, collection: u32, record: RecordId, doubtful: &mut Vec<(u32, u32)>) -> Result<(), Error> {
        let before = self.carried_before(collection, record)?;
        let (id, size): (Box<[u8]>, u64) = (before.id().into(), before.body.len() as u64);
        let edits = self.carried_edits(collection, record, Some(&before), None, doubtful)?;
        self.effects.delete(collection, record, before.version, size, &id);
        self.working.delete(self.shared, collection, record, self.lsn, &id, size)?;
        self.working.reindex(collection, self.lsn, &edits)?;
        self.note_document(CollectionId(collection), "delete", &id, before.version);
        self.undo.push(Undo::Delete { collection, record, id, size, edits });
        Ok(())
    }

    fn carried_before(&self, collection: u32, record: RecordId) -> Result<Arc<Document>, Error> {
        let found = self.working.read(self.shared, collection, record)?;
        found.ok_or_else(|| unfit("a document to be changed is not there"))
    }

    /// What the change does to the indexes; notes for this store's log what its replay cannot find out.
    fn carried_edits(
        &mut self,
        collection: u32,
        record: RecordId,
        before: Option<&Document>,
        after: Option<&Document>,
        doubtful: &mut Vec<(u32, u32)>,
    ) -> Result<Vec<IndexEdit>, Error> {
        let expiry = expiry_edit(record, before, after);
        let state = self.existing(CollectionId(collection))?;
        if state.indexes.is_empty() && expiry.is_none() {
            return Ok(Vec::new());
        }
        let mut edits = edits(&state.indexes, record, before, after)?;
        for edit in &edits {
            if let Some(index) = state.kept_index(edit.index)
                && index.taken(&self.shared.pager, &edit.added, record)?.is_some()
            {
                doubtful.push((collection, edit.index));
            }
        }
        if let Some(expiry) = expiry {
            self.working.need_expiries(self.shared, collection)?;
            edits.push(expiry);
        }
        let state = self.existing(CollectionId(collection))?;
        let kept = |edit: &&IndexEdit| !edit.removed.is_empty() && state.kept_index(edit.index).is_some();
        let unindexed: Vec<&IndexEdit> = edits.iter().filter(kept).collect();
        for edit in unindexed {
            self.effects.unindex(collection, edit.index, &edit.removed);
        }
        Ok(edits)
    }
}

/// The primary's units are not those that follow on what is here.
fn unfit(what: &str) -> Error {
    Error::Refused(format!("a unit of the primary does not fit: {what}"))
}
