//! A hash of what two equal stores have in common.

use sha2::{Digest, Sha256};

use super::{Position, term_at};
use crate::Error;
use crate::collection::CollectionHandle;
use crate::store::Store;
use crate::view::{Names, View};

impl Store {
    /// A hash of all that a replica must have as its primary has, and the position it is of: documents in their order, with
    /// records, versions and expiries; collections with their numbers, options and definitions of indexes. It does not depend
    /// on keys, pages, or how far builds of indexes are. Reads everything.
    pub fn content_hash(&self) -> Result<(Position, [u8; 32]), Error> {
        let view = View::stored(&self.shared);
        let (lsn, terms) = (view.state.lsn, &view.state.terms);
        let position = Position { history: self.shared.feed.history_id(), term: term_at(terms, lsn), lsn };
        let mut all: Vec<&CollectionHandle> = view.state.databases.iter().flat_map(Names::values).collect();
        all.sort_by_key(|collection| collection.id());
        let mut hash = Content(Sha256::new());
        for start in &**terms {
            hash.numbers(&[start.term, start.first_lsn]);
        }
        // Not the numbers that the next collection and the next index get: a unit that is undone uses some up.
        hash.numbers(&[all.len() as u64]);
        for collection in all {
            hash_collection(&view, collection, &mut hash)?;
        }
        Ok((position, hash.0.finalize().into()))
    }
}

struct Content(Sha256);

impl Content {
    fn numbers(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.0.update(number.to_le_bytes()));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.numbers(&[bytes.len() as u64]);
        self.0.update(bytes);
    }
}

fn hash_collection(view: &View, collection: &CollectionHandle, hash: &mut Content) -> Result<(), Error> {
    let state = &collection.0;
    hash.numbers(&[u64::from(state.meta.id), u64::from(state.meta.db), state.meta.created_ms]);
    hash.bytes(state.meta.name.as_bytes());
    hash.bytes(state.meta.options.as_bytes());
    hash.numbers(&[state.count, state.size, state.next_record, state.expiring, state.indexes.len() as u64]);
    for index in &state.indexes {
        let definition = serde_json::to_vec(&index.spec.definition).map_err(|e| Error::BadIndex(e.to_string()))?;
        hash.numbers(&[u64::from(index.id)]);
        hash.bytes(&definition);
        hash.bytes(index.failure().unwrap_or_default().as_bytes());
    }
    for found in view.scan(collection).unkept() {
        let (record, document) = found?;
        hash.numbers(&[record.0, document.version, document.expires_ms]);
        hash.bytes(&document.body);
    }
    Ok(())
}
