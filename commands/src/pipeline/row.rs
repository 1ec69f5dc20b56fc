//! A document on its way through a pipeline.

use std::sync::Arc;

use veddb_storage::Document;
use veddb_storage::document::{Object, RawObject, codec};

use crate::query::exec::Found;

/// A document on its way through a pipeline; packed, so that a stage reads no more of it than it needs, and its size is
/// known.
#[derive(Debug, Clone)]
pub enum Row {
    /// As it is stored.
    Stored(Arc<Document>),
    /// Made by a stage.
    Made(Box<[u8]>),
}

impl Row {
    /// A row with these members.
    pub fn of(object: &Object) -> Row {
        Row::Made(codec::pack_object(object))
    }

    /// Its members.
    pub fn root(&self) -> RawObject<'_> {
        RawObject::from_body(self.body())
    }

    /// Its packed form.
    pub fn body(&self) -> &[u8] {
        match self {
            Row::Stored(document) => &document.body,
            Row::Made(body) => body,
        }
    }

    /// What it takes in memory, bytes.
    pub fn size(&self) -> usize {
        size_of::<Row>() + self.body().len()
    }
}

impl From<Found> for Row {
    fn from(found: Found) -> Row {
        match found {
            Found::Document(document) => Row::Stored(document),
            Found::Fields(body) => Row::Made(body),
        }
    }
}
