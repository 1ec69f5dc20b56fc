//! Comparing indexes with documents, both ways, at one moment.

use crate::Error;
use crate::collection::CollectionHandle;
use crate::index::{Index, expiry_key};
use crate::view::View;

/// What a comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Indexes that were compared, that on `_id` included.
    pub indexes: u64,
    /// Documents of the collection.
    pub documents: u64,
    /// Entries of the indexes, counted one by one.
    pub entries: u64,
    /// Entries that should be there and are not.
    pub missing: u64,
    /// Entries that are there and should not be.
    pub dangling: u64,
}

/// How many entries are looked at between two questions whether to go on.
const CHECK_EVERY: u64 = 256;

impl View {
    /// Compares indexes of a collection with its documents: the one of this name, or all that are ready and the one on
    /// `_id`, which stands for the tree of expiries as well. `go_on` is asked now and then; an error of its ends it.
    pub fn verify<E: From<Error>>(
        &self,
        collection: &CollectionHandle,
        name: Option<&str>,
        id_index: &str,
        mut go_on: impl FnMut() -> Result<(), E>,
    ) -> Result<Verified, E> {
        let ids = name.is_none_or(|name| name == id_index);
        let wanted = |index: &&Index| index.is_ready() && name.is_none_or(|name| name == index.spec().name());
        let indexes: Vec<&Index> = collection.indexes().iter().filter(wanted).collect();
        let expiries = collection.0.expiries.as_ref().filter(|_| ids);
        let mut found = Verified { indexes: indexes.len() as u64 + u64::from(ids), ..Verified::default() };
        // What has expired has its entries until it is deleted.
        let stored = View { now_ms: 0, ..self.clone() };
        let trees = self.trees();
        // From the documents to the indexes: every entry that should be there.
        let mut present = 0;
        for item in stored.scan(collection) {
            let (record, document) = item?;
            if found.documents.is_multiple_of(CHECK_EVERY) {
                go_on()?;
            }
            found.documents += 1;
            if ids {
                let right = trees.find_id(collection, &document.id())? == Some(record);
                *(if right { &mut present } else { &mut found.missing }) += 1;
            }
            if let Some(key) = expiry_key(&document, record).filter(|_| ids) {
                let right = expiries.map_or(Ok(false), |expiries| trees.has(expiries, &key))?;
                *(if right { &mut present } else { &mut found.missing }) += 1;
            }
            for index in &indexes {
                for key in index.spec().entries(document.root(), record)?.keys {
                    let right = trees.has(index, &key)?;
                    *(if right { &mut present } else { &mut found.missing }) += 1;
                }
            }
        }
        // From the indexes to the documents: entries are distinct, so what is there beside those is of no document.
        let mut walks = Vec::new();
        if ids {
            walks.push(trees.walk_ids(collection)?);
        }
        for index in indexes.into_iter().chain(expiries) {
            walks.push(trees.walk(index, &crate::KeyRange::full(), false)?);
        }
        for mut walk in walks {
            while walk.key().is_some() {
                if found.entries.is_multiple_of(CHECK_EVERY) {
                    go_on()?;
                }
                found.entries += 1;
                walk.advance()?;
            }
        }
        found.dangling = found.entries.saturating_sub(present);
        Ok(found)
    }
}
