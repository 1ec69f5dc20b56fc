//! What a unit does to indexes: making and dropping them, and what changes of documents change in them.

use std::sync::Arc;

use super::{Transaction, Undo};
use crate::Error;
use crate::collection::CollectionId;
use crate::document::record::Document;
use crate::index::{INDEXES_MAX, IndexEdit, IndexSpec, edits, expiry_edit};
use crate::record_id::RecordId;

impl Transaction<'_> {
    /// What a change of a document does to the indexes; notes what a replay cannot find out by itself.
    pub(super) fn index_edits(
        &mut self,
        collection: CollectionId,
        record: RecordId,
        before: Option<&Document>,
        after: Option<&Document>,
    ) -> Result<Vec<IndexEdit>, Error> {
        let expiry = expiry_edit(record, before, after);
        let state = self.existing(collection)?;
        if state.indexes.is_empty() && expiry.is_none() {
            return Ok(Vec::new());
        }
        let mut edits = edits(&state.indexes, record, before, after)?;
        let mut taken = false;
        for edit in &edits {
            if let Some(index) = state.kept_index(edit.index) {
                taken |= index.taken(&self.shared.pager, &edit.added, record)?.is_some();
            }
        }
        if taken {
            edits.iter().try_for_each(|edit| self.check_unique(collection, edit, record))?;
        }
        if let Some(expiry) = expiry {
            self.working.need_expiries(self.shared, collection.0)?;
            edits.push(expiry);
        }
        let state = self.existing(collection)?;
        let kept = |edit: &&IndexEdit| !edit.removed.is_empty() && state.kept_index(edit.index).is_some();
        let unindexed: Vec<&IndexEdit> = edits.iter().filter(kept).collect();
        self.room_for(unindexed.iter().flat_map(|edit| &edit.removed).map(|key| key.len() + 8).sum())?;
        for edit in unindexed {
            self.effects.unindex(collection.0, edit.index, &edit.removed);
        }
        Ok(edits)
    }

    /// Refuses keys that other documents have already. What has expired has none: it is deleted.
    fn check_unique(&mut self, collection: CollectionId, edit: &IndexEdit, record: RecordId) -> Result<(), Error> {
        loop {
            let state = self.existing(collection)?;
            let Some(index) = state.kept_index(edit.index) else { return Ok(()) };
            let Some((key, other)) = index.taken(&self.shared.pager, &edit.added, record)? else { return Ok(()) };
            let duplicate = Error::DuplicateKey {
                collection: state.meta.name.clone(),
                index: index.spec.name().to_owned(),
                key: index.spec.describe(key),
            };
            if !self.delete_expired(collection, other)? {
                return Err(duplicate);
            }
        }
    }

    /// Adds an index, which is built in the background. False: there is one of this name and definition already. One whose
    /// build failed is built again.
    ///
    /// # Errors
    /// `BadIndex` when the name stands for another definition, `TooBig` when there are as many as there may be.
    pub fn create_index(&mut self, collection: CollectionId, spec: IndexSpec) -> Result<bool, Error> {
        let state = self.existing(collection)?;
        let named = state.indexes.iter().find(|index| index.spec.name() == spec.name());
        if let Some(index) = named {
            if index.spec.definition != spec.definition {
                let name = spec.name();
                return Err(Error::BadIndex(format!("index {name} exists with another definition; drop it first")));
            }
            if index.failure().is_none() {
                return Ok(false);
            }
            let failed = spec.name().to_owned();
            self.drop_index(collection, &failed)?;
        }
        let state = self.existing(collection)?;
        if state.indexes.len() >= INDEXES_MAX {
            return Err(Error::TooBig(format!("the collection has {INDEXES_MAX} indexes, as many as there may be")));
        }
        let id = state.next_index;
        let definition = serde_json::to_string(&spec.definition).map_err(|e| Error::BadIndex(e.to_string()))?;
        self.working.add_index(self.shared, collection.0, self.lsn, id, Arc::new(spec))?;
        self.effects.create_index(collection.0, id, &definition);
        self.undo.push(Undo::CreateIndex { collection: collection.0, index: id });
        Ok(true)
    }

    /// Drops an index; false when there is none of this name. Its space is reclaimed in the background.
    pub fn drop_index(&mut self, collection: CollectionId, name: &str) -> Result<bool, Error> {
        let state = self.existing(collection)?;
        let named = state.indexes.iter().find(|index| index.spec.name() == name).map(|index| index.id);
        let Some(id) = named else { return Ok(false) };
        let Some(index) = self.working.take_index(collection.0, self.lsn, id)? else { return Ok(false) };
        self.effects.drop_index(collection.0, id);
        self.undo.push(Undo::DropIndex { collection: collection.0, index: Box::new(index) });
        Ok(true)
    }

    /// Whether the collection still has this index.
    pub(crate) fn has_index(&self, collection: CollectionId, id: u32) -> bool {
        self.working.collections.get(&collection.0).is_some_and(|state| state.kept_index(id).is_some())
    }
}
