//! What all parts of an open store hold: the engine, the sealer, the caches, the published state.

use bytes::Bytes;
use parking_lot::RwLock;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use crate::Error;
use crate::audit::Audit;
use crate::build::Builds;
use crate::cache::DocumentCache;
use crate::document::record::Document;
use crate::index::Pager;
use crate::keys::Lookups;
use crate::kv::{Engine, Snapshot, Space};
use crate::lsn::Lsn;
use crate::memtable::{Memtable, RecordKey, Version};
use crate::note::Notes;
use crate::pace::Pace;
use crate::record_id::document_key;
use crate::replicate::Feed;
use crate::rotate::DataKeys;
use crate::seal::{Purpose, Sealer};
use crate::spill::Spills;
use crate::view::State;

/// The parts of an open store.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) sealer: Sealer,
    pub(crate) data_keys: Arc<DataKeys>,
    pub(crate) pager: Pager,
    pub(crate) cache: DocumentCache,
    pub(crate) lookups: Lookups,
    pub(crate) builds: Builds,
    pub(crate) notes: Notes,
    pub(crate) spills: Spills,
    pub(crate) audit: Audit,
    pub(crate) feed: Arc<Feed>,
    /// Whether another store's log is carried out here, and nothing else is.
    pub(crate) replica: AtomicBool,
    /// Bytes of units of that log that wait for the committer.
    pub(crate) apply_queued: Arc<AtomicUsize>,
    /// What clients do, for those who give way to them.
    pub(crate) pace: Arc<Pace>,
    pub(crate) log_dir: PathBuf,
    pub(crate) checkpoint_path: PathBuf,
    /// What readers see. Replaced whole by the committer.
    pub(crate) state: RwLock<Arc<State>>,
}

/// Where documents are looked for, newest first.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) active: Arc<Memtable>,
    /// The table that a checkpoint is writing out.
    pub(crate) frozen: Option<Arc<Memtable>>,
    pub(crate) snapshot: Arc<dyn Snapshot>,
    /// Of the engine, for the cache: which checkpoint `snapshot` shows.
    pub(crate) generation: u64,
}

impl Sources {
    /// A document as of `lsn`.
    pub(crate) fn read(&self, shared: &Shared, key: RecordKey, lsn: Lsn) -> Result<Version, Error> {
        if let Some(version) = self.active.get(key, lsn) {
            return Ok(version);
        }
        if let Some(version) = self.frozen.as_ref().and_then(|table| table.get(key, lsn)) {
            return Ok(version);
        }
        if let Some(document) = shared.cache.get(key, self.generation) {
            return Ok(Some(document));
        }
        let stored = document_key(key.0, key.1);
        let Some(sealed) = self.snapshot.get(Space::Documents, &stored)? else { return Ok(None) };
        let document = Arc::new(open_document(&shared.sealer, &stored, &sealed)?);
        shared.cache.fill(key, self.generation, &document);
        Ok(Some(document))
    }
}

/// Bytes before the body in a document's record: flags and version.
const RECORD_HEAD_BYTES: usize = 9;
/// The flag of a record that has an expiry after its head.
const EXPIRING: u8 = 1;
/// What an expiry takes.
pub(crate) const EXPIRY_BYTES: usize = 8;
/// What a document's record takes beside its body: its key, the head, the seal.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 12 + RECORD_HEAD_BYTES + crate::seal::OVERHEAD;

/// A document as the engine keeps it.
pub(crate) fn seal_document(sealer: &Sealer, key: &[u8], document: &Document) -> Bytes {
    let mut plain = Vec::with_capacity(RECORD_HEAD_BYTES + EXPIRY_BYTES + document.body.len());
    plain.push(if document.expires_ms == 0 { 0 } else { EXPIRING });
    plain.extend_from_slice(&document.version.to_le_bytes());
    if document.expires_ms != 0 {
        plain.extend_from_slice(&document.expires_ms.to_le_bytes());
    }
    plain.extend_from_slice(&document.body);
    let mut sealed = Vec::with_capacity(plain.len() + crate::seal::OVERHEAD);
    sealer.seal(Purpose::Documents, key, &plain, &mut sealed);
    Bytes::from(sealed)
}

/// The document in a record of the engine.
pub(crate) fn open_document(sealer: &Sealer, key: &[u8], sealed: &[u8]) -> Result<Document, Error> {
    let plain = sealer.open(Purpose::Documents, key, sealed)?;
    let damaged = || Error::Damaged { path: "kv".into(), at: hex::encode(key), what: "not a document's record".into() };
    let (head, body) = plain.split_first_chunk::<RECORD_HEAD_BYTES>().ok_or_else(damaged)?;
    let [flags, version @ ..] = *head;
    let (expires_ms, body) = match flags {
        0 => (0, body),
        EXPIRING => {
            let (expires, body) = body.split_first_chunk::<EXPIRY_BYTES>().ok_or_else(damaged)?;
            (u64::from_le_bytes(*expires), body)
        }
        _ => return Err(damaged()),
    };
    Ok(Document::expiring(u64::from_le_bytes(version), expires_ms, Box::from(body)))
}
