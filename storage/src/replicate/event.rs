//! What units did to documents, in words that need no catalog: for change streams and for rollback files.

use super::Units;
use crate::Error;
use crate::collection::is_own;
use crate::document::record::Document;
use crate::effect::{Effect, Rewrite, decode_group};
use crate::lsn::Lsn;
use crate::names::NamesAt;
use crate::store::Store;
use crate::view::State;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A new document.
    Insert,
    /// Some of a document was changed.
    Update,
    /// Another document was put in the place of one.
    Replace,
    /// A document is gone.
    Delete,
    /// A collection is gone with its documents.
    Drop,
    /// A collection has this name from now on. One whose name before began with [`crate::OWN_PREFIX`] comes into being so,
    /// with documents of which nothing was told.
    Rename(String),
}

impl EventKind {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            EventKind::Insert => "insert",
            EventKind::Update => "update",
            EventKind::Replace => "replace",
            EventKind::Delete => "delete",
            EventKind::Drop => "drop",
            EventKind::Rename(_) => "rename",
        }
    }
}

/// One change.
#[derive(Debug)]
pub struct Event {
    /// The unit.
    pub lsn: Lsn,
    /// What happened.
    pub kind: EventKind,
    /// The database.
    pub db: u8,
    /// The collection, by the name it had then.
    pub collection: String,
    /// The document's id, as text; empty where it is about the collection.
    pub id: Box<[u8]>,
    /// The document's version; of a deleted one the last, 0 where the log does not tell it or there is no document.
    pub version: u64,
    /// The document as it is afterwards.
    pub document: Option<Document>,
}

impl Store {
    /// What units of this store's log did to documents, in order: all but what is about the server's own collections, and
    /// about expiries alone.
    ///
    /// # Errors
    /// `Refused`: these are not units.
    pub fn events(&self, units: &Units) -> Result<Vec<Event>, Error> {
        let state = std::sync::Arc::clone(&self.shared.state.read());
        let all = events_of(&state, units)?;
        let told = |event: &Event| !is_own(&event.collection) || matches!(event.kind, EventKind::Rename(_));
        Ok(all.into_iter().filter(told).collect())
    }
}

/// The same with the server's own collections.
pub(super) fn events_of(state: &State, units: &Units) -> Result<Vec<Event>, Error> {
    let names = NamesAt::of(state);
    let groups =
        decode_group(units.bytes(), units.count()).ok_or_else(|| Error::Refused("these are not units".into()))?;
    let mut events = Vec::new();
    for (lsn, effects) in (units.first_lsn()..).zip(groups) {
        for effect in effects {
            let Some((collection, kind, id, version, document)) = told(effect) else { continue };
            let (db, collection) = match names.at(collection, lsn) {
                Some((db, name)) => (db, name.to_owned()),
                // Nothing of it is there any more, and so long ago that its name is forgotten.
                None => (0, format!("#{collection}")),
            };
            events.push(Event { lsn, kind, db, collection, id, version, document });
        }
    }
    Ok(events)
}

pub(super) type Told = (u32, EventKind, Box<[u8]>, u64, Option<Document>);

pub(super) fn told(effect: Effect) -> Option<Told> {
    let of_document = |collection, kind, document: Document| {
        let (id, version) = (Box::from(&*document.id()), document.version);
        Some((collection, kind, id, version, Some(document)))
    };
    match effect {
        Effect::Insert { collection, expires_ms, body, .. } => {
            of_document(collection, EventKind::Insert, Document::expiring(1, expires_ms, body))
        }
        Effect::Replace { collection, rewrite, version, expires_ms, body, .. } => {
            let kind = match rewrite {
                Rewrite::Whole => EventKind::Replace,
                Rewrite::Changed => EventKind::Update,
                Rewrite::Expiry => return None,
            };
            of_document(collection, kind, Document::expiring(version, expires_ms, body))
        }
        Effect::Delete { collection, version, id, .. } => Some((collection, EventKind::Delete, id, version, None)),
        Effect::DropCollection { collection } => Some((collection, EventKind::Drop, Box::default(), 0, None)),
        Effect::RenameCollection { collection, to } => {
            Some((collection, EventKind::Rename(to), Box::default(), 0, None))
        }
        Effect::CreateCollection { .. }
        | Effect::CreateIndex { .. }
        | Effect::DropIndex { .. }
        | Effect::FailIndex { .. }
        | Effect::Unindex { .. } => None,
    }
}
