//! The head in the log: where the chain ended, kept as a document of the store, so that an `audit/` that was put back to an
//! earlier state, or taken away, is found unless the whole store is put back with it.
//!
//! A primary writes it, for a replica writes nothing but what its primary did. It counts only where it is of this store's own
//! chain: of one store (by the database's id, which no two have but a copy and what it is of) between two promotions.

use serde_json::{Value as Json, json};

use super::{Audit, Hash};
use crate::keys::{AUDIT, KeyValue, key_id, key_value};
use crate::replicate::promotions;
use crate::seal::Sealer;
use crate::view::View;
use crate::{Error, Store};

/// The database in which it is.
const DB: u8 = 0;
/// Its key in the collection [`AUDIT`] of database 0.
pub const AUDIT_END: &[u8] = b"head";

/// Where a chain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEnd {
    /// The database's id of the store whose chain it is.
    pub(super) store: [u8; 16],
    /// How many promotions led to its being written.
    pub(super) promotions: u32,
    /// The record that followed.
    pub(super) next: u64,
    /// The hash of the one before that.
    pub(super) hash: Hash,
}

impl AuditEnd {
    /// The beginning of the chain of a store, after so many promotions.
    pub(super) fn of(sealer: &Sealer, promotions: u32) -> AuditEnd {
        AuditEnd { store: sealer.database_id(), promotions, next: 1, hash: Hash::default() }
    }

    /// As it is kept.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let (store, hash) = (hex::encode(self.store), hex::encode(self.hash));
        json!({"store": store, "promotions": self.promotions, "next": self.next, "hash": hash}).to_string().into_bytes()
    }

    fn read(text: &[u8]) -> Option<AuditEnd> {
        fn bytes<const N: usize>(found: &Json) -> Option<[u8; N]> {
            let mut bytes = [0; N];
            hex::decode_to_slice(found.as_str()?, &mut bytes).ok()?;
            Some(bytes)
        }
        let found: Json = serde_json::from_slice(text).ok()?;
        Some(AuditEnd {
            store: bytes(found.get("store")?)?,
            promotions: found.get("promotions")?.as_u64()?.try_into().ok()?,
            next: found.get("next")?.as_u64().filter(|next| *next > 0)?,
            hash: bytes(found.get("hash")?)?,
        })
    }
}

impl Store {
    /// Where the chain ends now.
    pub fn audit_end(&self) -> AuditEnd {
        let head = self.audit().state.lock().head.clone();
        let promotions = self.terms().last().map_or(0, |start| promotions(start.term));
        AuditEnd { next: head.next, hash: head.hash, ..AuditEnd::of(&self.audit().sealer, promotions) }
    }
}

impl View {
    /// Where the store says that its chain had ended when that was last written; none where it says nothing of this chain.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn audit_end(&self) -> Result<Option<AuditEnd>, Error> {
        let Some(collection) = self.own_collection(DB, AUDIT) else { return Ok(None) };
        let Some(document) = self.get(&collection, &key_id(AUDIT_END))? else { return Ok(None) };
        let KeyValue::String(text) = key_value(&document) else { return Ok(None) };
        let now = self.state.terms.last().map_or(0, |start| promotions(start.term));
        let own = |end: &AuditEnd| end.store == self.shared.audit.sealer.database_id() && end.promotions == now;
        Ok(AuditEnd::read(text).filter(own))
    }
}

impl Audit {
    /// Compares the chain with where the store says that it had ended, before the first record that follows a start. Where the chain
    /// does not lead there, the records that are missing stay missing: what follows has later positions, so that
    /// [`View::verify_audit`] finds the gap from then on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn meet(&self, end: &AuditEnd) -> Result<(), Error> {
        let mut state = self.state.lock();
        let Some(damage) = self.differs(&state.head, end)? else { return Ok(()) };
        tracing::error!(%damage, "the audit log is not the one that the store's log names; new records follow behind");
        state.damage.get_or_insert(damage);
        state.writer = None;
        state.head.next = end.next.max(state.head.next + 1);
        state.head.hash = end.hash;
        Ok(())
    }

    /// In what the chain is not the one that the store's log names.
    pub(super) fn differs(&self, head: &super::Head, end: &AuditEnd) -> Result<Option<String>, Error> {
        let last = end.next - 1;
        if head.next < end.next {
            return Ok(Some(format!("the store's log names {last} records, and {} are here", head.next - 1)));
        }
        if last < head.first || self.hash_of(last, head)? == Some(end.hash) {
            return Ok(None);
        }
        Ok(Some(format!("record {last}: not the one that the store's log names")))
    }
}
