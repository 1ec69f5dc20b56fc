//! The tree of expiries: which documents of a collection expire, in the order of their time.
//!
//! It is kept as an index is (recent entries, a tree that checkpoints bring up to them, effects when entries go), but comes with
//! the first document that expires instead of a definition, and is in no list of indexes: no query may choose it.
//!
//! Invariant: it has one entry for each document with an expiry, and no other.

use std::sync::Arc;

use super::spec::IndexSpec;
use super::state::{Index, IndexEdit, Phase};
use super::tree::Tree;
use crate::document::record::Document;
use crate::record_id::RecordId;
use crate::trees::KeyRange;

/// Its number; those of indexes begin at 1.
pub(crate) const EXPIRIES: u32 = 0;

/// The fields of an entry are the expiry.
const FIELDS_BYTES: u16 = 8;

/// The tree of expiries of a collection, ready at once: that which has no tree yet has no entries.
pub(crate) fn expiries(tree: Tree) -> Index {
    Index::new(EXPIRIES, Arc::new(IndexSpec::of_expiries()), Phase::Ready, tree)
}

/// The key of the entry of a document, if it expires.
pub(crate) fn expiry_key(document: &Document, record: RecordId) -> Option<Vec<u8>> {
    if document.expires_ms == 0 {
        return None;
    }
    let (expires, record) = (document.expires_ms.to_be_bytes(), record.0.to_be_bytes());
    Some([&expires[..], &record[..], &FIELDS_BYTES.to_be_bytes()[..]].concat())
}

/// What a change of a document does to the tree; none when it does nothing.
pub(crate) fn expiry_edit(record: RecordId, before: Option<&Document>, after: Option<&Document>) -> Option<IndexEdit> {
    let expires_ms = |document: Option<&Document>| document.map_or(0, |document| document.expires_ms);
    if expires_ms(before) == expires_ms(after) {
        return None;
    }
    let key = |document: Option<&Document>| document.and_then(|document| expiry_key(document, record));
    let (removed, added) = (key(before).into_iter().collect(), key(after).into_iter().collect());
    Some(IndexEdit { index: EXPIRIES, removed, added, ..IndexEdit::default() })
}

/// The entries of documents that have expired by then.
pub(crate) fn expired_range(now_ms: u64) -> KeyRange {
    KeyRange { from: Vec::new(), to: now_ms.checked_add(1).map(|after| after.to_be_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Entry;

    #[test]
    fn keys_stand_in_the_order_of_their_time() {
        let key = |expires_ms, record| expiry_key(&Document::expiring(1, expires_ms, Box::default()), RecordId(record));
        assert_eq!(key(0, 7), None);
        let keys: Vec<Vec<u8>> = [(1, 9), (255, 1), (256, 1), (256, 2), (u64::MAX, 0)]
            .into_iter()
            .map(|(expires_ms, record)| key(expires_ms, record).unwrap())
            .collect();
        assert!(keys.is_sorted());
        assert_eq!(Entry::of(&keys[3]).unwrap().record, RecordId(2));
        let expired = |now_ms| {
            let to = expired_range(now_ms).to;
            keys.iter().filter(|key| to.as_ref().is_none_or(|to| *key < to)).count()
        };
        assert_eq!([0, 1, 254, 255, 256, u64::MAX].map(expired), [0, 1, 1, 2, 4, 5]);
    }

    #[test]
    fn only_another_time_is_an_edit() {
        let document = |expires_ms| Document::expiring(1, expires_ms, Box::default());
        let edit = |before: u64, after: u64| {
            let edit = expiry_edit(RecordId(3), Some(&document(before)), Some(&document(after)))?;
            Some((edit.removed.len(), edit.added.len()))
        };
        assert_eq!([edit(0, 0), edit(5, 5)], [None, None]);
        assert_eq!([edit(0, 5), edit(5, 6), edit(5, 0)], [Some((0, 1)), Some((1, 1)), Some((1, 0))]);
        assert!(expiry_edit(RecordId(3), None, Some(&document(0))).is_none());
        assert_eq!(expiry_edit(RecordId(3), Some(&document(9)), None).unwrap().removed.len(), 1);
    }
}
