//! A snapshot of a store in chunks, from which another store is made.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::{Position, TermStart};
use crate::Error;
use crate::store::Store;

/// What an export says of itself before its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    /// Names it, for whoever comes back to go on with it.
    pub id: [u8; 16],
    /// Of its last unit.
    pub position: Position,
    /// The terms of the log up to there, oldest first.
    pub terms: Vec<TermStart>,
    /// Collections, the server's own among them.
    pub collections: u64,
    /// Documents of all of them.
    pub documents: u64,
    /// Bytes of these, about as many as the chunks will have.
    pub bytes: u64,
    /// The number that the next collection gets.
    pub(crate) next_collection: u32,
}

/// What follows the last chunk.
pub type ExportHash = [u8; 32];

/// One consistent moment of a store, to be read in chunks of about a mebibyte. While it is held the log after it is kept for
/// a follower, as far as it may be, and the store keeps what the moment has; so its age is bounded
/// (`Options::export_age_ms_max`).
#[derive(Debug)]
pub struct Export {
    header: Arc<ExportHeader>,
}

impl Export {
    /// What it says of itself.
    pub fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// The chunk of this number, from 0; none after the last one. Chunks are asked for in order, and any that was given already
    /// may be asked for again: its bytes are the same.
    ///
    /// # Errors
    /// `Refused` when the export is too old, or the number skips some.
    pub fn chunk(&mut self, _number: u64) -> Result<Option<Vec<u8>>, Error> {
        Err(not_yet())
    }

    /// The hash of all chunks; none before the last one was given.
    pub fn hash(&self) -> Option<ExportHash> {
        None
    }
}

impl Store {
    /// A snapshot of this moment. When it is dropped it stays for [`Store::resume_export`] until it is too old; there are four
    /// at most, and the next one takes the place of the oldest that nobody holds.
    ///
    /// # Errors
    /// `Busy` when all are held.
    pub fn export(&self) -> Result<Export, Error> {
        Err(not_yet())
    }

    /// The export of this id, if it is still there and nobody holds it.
    pub fn resume_export(&self, _id: [u8; 16]) -> Option<Export> {
        None
    }
}

fn not_yet() -> Error {
    Error::Refused("this version makes no exports".into())
}
