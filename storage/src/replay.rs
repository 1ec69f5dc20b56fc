//! Doing again what the log says was done, when a store is opened.
//!
//! Reads no document: what has to be known of the old one is in the effect, since the engine may be ahead of the checkpoint.

use std::sync::{Arc, OnceLock};

use crate::Error;
use crate::collection::{CollectionMeta, CollectionState};
use crate::document::record::Document;
use crate::effect::Effect;
use crate::index::{EXPIRIES, Entries, Index, IndexDefinition, IndexEdit, IndexSpec, expiry_key};
use crate::lsn::Lsn;
use crate::memtable::RecordKey;
use crate::shared::Shared;
use crate::working::{Working, gone};

impl Working {
    /// Adds the entries of a document to the indexes, as a replay does: what they replace is told by effects of its own.
    fn index_again(&mut self, shared: &Shared, key: RecordKey, lsn: Lsn, document: &Document) -> Result<(), Error> {
        if document.expires_ms != 0 {
            self.need_expiries(shared, key.0)?;
        }
        let Some(state) = self.collections.get(&key.0) else { return Err(gone(key.0)) };
        let (mut edits, mut doubtful) = (Vec::new(), Vec::new());
        for index in state.indexes.iter().filter(|index| index.is_kept()) {
            let entries = index.spec.entries(document.root(), key.1)?;
            let mut edit = IndexEdit::between(index.id, Entries::default(), entries);
            edit.added = changing(index, shared, edit.added, true)?;
            // As when a replica did it: its primary had not built the index yet.
            if index.taken(&shared.pager, &edit.added, key.1)?.is_some() {
                doubtful.push(index.id);
            }
            edits.push(edit);
        }
        if let (Some(index), Some(expiry)) = (&state.expiries, expiry_key(document, key.1)) {
            let added = changing(index, shared, vec![expiry], true)?;
            edits.push(IndexEdit { index: EXPIRIES, added, ..IndexEdit::default() });
        }
        self.reindex(key.0, lsn, &edits)?;
        doubtful.into_iter().try_for_each(|index| self.build_again(shared, key.0, lsn, index))
    }

    /// Removes entries that a document no longer has.
    fn unindex(
        &mut self,
        shared: &Shared,
        collection: u32,
        lsn: Lsn,
        id: u32,
        keys: Vec<Box<[u8]>>,
    ) -> Result<(), Error> {
        let Some(state) = self.collections.get(&collection) else { return Err(gone(collection)) };
        let Some(index) = state.kept_index(id) else { return Ok(()) };
        let removed = changing(index, shared, keys.into_iter().map(Vec::from).collect(), false)?;
        self.reindex(collection, lsn, &[IndexEdit { index: id, removed, ..IndexEdit::default() }])
    }

    /// Does again what the log says was done.
    pub(crate) fn replay(&mut self, shared: &Shared, lsn: Lsn, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::CreateCollection { collection, db, name, created_ms, options } => {
                let meta = CollectionMeta { id: collection, db, name, created_ms, options, schema: OnceLock::new() };
                self.add(CollectionState { changed_lsn: lsn, ..CollectionState::new(meta, &shared.pager) });
                Ok(())
            }
            Effect::DropCollection { collection } => {
                self.note_name(collection, lsn);
                self.drop_collection(collection, lsn).map(|_| ())
            }
            Effect::RenameCollection { collection, to } => {
                self.note_name(collection, lsn);
                self.rename(collection, &to, lsn)
            }
            Effect::Insert { collection, record, expires_ms, body } => {
                let document = Arc::new(Document::expiring(1, expires_ms, body));
                let id = document.id().into_owned();
                self.insert(shared, collection, record, lsn, &id, Arc::clone(&document))?;
                self.index_again(shared, (collection, record), lsn, &document)
            }
            Effect::Replace { collection, record, version, expires_ms, size_before, body, .. } => {
                let document = Arc::new(Document::expiring(version, expires_ms, body));
                self.replace(shared, collection, record, lsn, size_before, Arc::clone(&document))?;
                self.index_again(shared, (collection, record), lsn, &document)
            }
            Effect::Delete { collection, record, size_before, id, .. } => {
                self.delete(shared, collection, record, lsn, &id, size_before)
            }
            Effect::CreateIndex { collection, index, definition } => {
                let definition: IndexDefinition =
                    serde_json::from_str(&definition).map_err(|e| Error::BadIndex(e.to_string()))?;
                self.add_index(shared, collection, lsn, index, Arc::new(IndexSpec::new(definition)?))
            }
            Effect::DropIndex { collection, index } => self.take_index(collection, lsn, index).map(|_| ()),
            Effect::FailIndex { collection, index, why } => self.fail_index(shared, collection, lsn, index, &why),
            Effect::Unindex { collection, index, keys } => self.unindex(shared, collection, lsn, index, keys),
        }
    }
}

/// The keys whose being there, or not, would be a change.
fn changing(index: &Index, shared: &Shared, keys: Vec<Vec<u8>>, there: bool) -> Result<Vec<Vec<u8>>, Error> {
    let mut changes = Vec::with_capacity(keys.len());
    for key in keys {
        if index.has(&shared.pager, &key, Lsn::MAX)? != there {
            changes.push(key);
        }
    }
    Ok(changes)
}
