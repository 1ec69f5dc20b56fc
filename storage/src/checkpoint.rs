//! Checkpoints: bringing the engine up to a state, beside the committer.
//!
//! First the documents written since the last checkpoint, in bulk; then, in one atomic batch, every index page made since,
//! the catalog and the LSN. After a crash in between the engine has newer documents than its catalog and indexes; the log
//! has them too, and replaying it writes the same documents again. So recovery is: open the checkpoint, replay the log.

use bytes::Bytes;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::Error;
use crate::collection::{CHECKPOINT_FORMAT, Checkpoint, CollectionRecord};
use crate::index::{PageId, Tree, page_key};
use crate::kv::{Batch, Engine, Snapshot, Space};
use crate::log;
use crate::lsn::Lsn;
use crate::memtable::Memtable;
use crate::record_id::{RecordId, document_key};
use crate::seal::{Purpose, Sealer};
use crate::shared::{Shared, seal_document};
use crate::view::{Names, State};

const CHECKPOINT_KEY: &[u8] = b"checkpoint";
/// Documents of dropped collections deleted in one batch.
const RECLAIM_BATCH: usize = 50_000;

/// What a checkpoint is made of.
pub(crate) struct Request {
    /// A published state; its frozen memory table holds all documents written since the last checkpoint.
    pub(crate) state: Arc<State>,
    pub(crate) log: (Arc<File>, PathBuf, Lsn),
    pub(crate) progress: Arc<log::Progress>,
    /// Pages that no tree and no reader has.
    pub(crate) freed_now: Vec<PageId>,
    /// Pages that a reader of an older state may still have.
    pub(crate) freed_later: Vec<PageId>,
    /// Trees of collections dropped since the last checkpoint.
    pub(crate) dropped: Vec<(u32, Tree, Lsn)>,
    /// The generation that the engine will have.
    pub(crate) generation: u64,
}

/// What the committer learns when a checkpoint is done.
pub(crate) struct Done {
    pub(crate) lsn: Lsn,
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) generation: u64,
    pub(crate) page_watermark: PageId,
    /// Stored pages of the dropped trees, to be freed by the next checkpoint.
    pub(crate) freed: Vec<(PageId, Lsn)>,
}

/// Reads the checkpoint; none in a new engine.
pub(crate) fn read(engine: &dyn Engine, sealer: &Sealer, path: &std::path::Path) -> Result<Option<Checkpoint>, Error> {
    let Some(sealed) = engine.get(Space::Meta, CHECKPOINT_KEY)? else { return Ok(None) };
    let damaged = |what: String| Error::Damaged { path: path.to_path_buf(), at: "the checkpoint".into(), what };
    let plain = sealer.open(Purpose::Catalog, CHECKPOINT_KEY, &sealed).map_err(|e| damaged(e.to_string()))?;
    let checkpoint: Checkpoint = serde_json::from_slice(&plain).map_err(|e| damaged(e.to_string()))?;
    if checkpoint.format != CHECKPOINT_FORMAT {
        return Err(damaged(format!("format {} is not known to this version", checkpoint.format)));
    }
    Ok(Some(checkpoint))
}

/// The checkpoint of a store without anything.
pub(crate) fn write_first(engine: &dyn Engine, sealer: &Sealer) -> Result<Checkpoint, Error> {
    let checkpoint = Checkpoint {
        format: CHECKPOINT_FORMAT,
        lsn: 0,
        next_page: 1,
        next_collection: 1,
        collections: Vec::new(),
        reclaim: Vec::new(),
        freed_pages: Vec::new(),
    };
    let mut batch = Batch::default();
    put_checkpoint(&mut batch, sealer, &checkpoint)?;
    engine.commit(batch)?;
    engine.sync()?;
    Ok(checkpoint)
}

fn put_checkpoint(batch: &mut Batch, sealer: &Sealer, checkpoint: &Checkpoint) -> Result<(), Error> {
    let plain = serde_json::to_vec(checkpoint).map_err(|e| Error::Engine(e.to_string()))?;
    let mut sealed = Vec::new();
    sealer.seal(Purpose::Catalog, CHECKPOINT_KEY, &plain, &mut sealed);
    batch.put(Space::Meta, CHECKPOINT_KEY, sealed);
    Ok(())
}

/// The thread that makes checkpoints, one after the other, until the channel closes. In between it takes the documents of
/// dropped collections out of the engine.
pub(crate) fn run(
    shared: &Shared,
    requests: &Receiver<Request>,
    done: &SyncSender<Result<Done, Error>>,
    reclaim: Vec<u32>,
    wake: &dyn Fn(),
) {
    let mut reclaim = reclaim;
    loop {
        let request = if reclaim.is_empty() {
            requests.recv().ok()
        } else {
            match requests.try_recv() {
                Ok(request) => Some(request),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => None,
                Err(std::sync::mpsc::TryRecvError::Empty) => {
                    if let Err(error) = reclaim_some(shared, &mut reclaim) {
                        let _ = done.send(Err(error));
                        return;
                    }
                    continue;
                }
            }
        };
        let Some(request) = request else { return };
        let outcome = write(shared, request, &mut reclaim);
        let failed = outcome.is_err();
        let gone = done.send(outcome).is_err();
        wake();
        if gone || failed {
            return;
        }
    }
}

fn write(shared: &Shared, request: Request, reclaim: &mut Vec<u32>) -> Result<Done, Error> {
    let state = request.state;
    // The engine must never be ahead of the log.
    let (file, path, lsn_written) = request.log;
    log::sync_handle(&file, &path, lsn_written, &request.progress)?;
    let collections: Vec<_> = state.databases.iter().flat_map(Names::values).collect();
    let documents = state.sources.frozen.as_deref().map(Memtable::newest).unwrap_or_default();
    let known: std::collections::HashSet<u32> = collections.iter().map(|c| c.id().0).collect();
    shared.cache.begin_generation(request.generation);
    let mut entries =
        documents.iter().filter(|((id, _), _)| known.contains(id)).map(|((collection, record), version)| {
            let key = document_key(*collection, *record);
            let value = version.as_ref().map(|document| seal_document(&shared.sealer, &key, document));
            (Bytes::copy_from_slice(&key), value)
        });
    shared.engine.ingest(Space::Documents, &mut entries)?;
    let mut batch = Batch::default();
    let mut written = Vec::new();
    for collection in &collections {
        collection.0.id_index.write_dirty(&shared.pager, &mut batch, &mut written);
    }
    for page in &request.freed_now {
        batch.remove(Space::Pages, page_key(*page).to_vec());
    }
    let mut freed = Vec::new();
    for (collection, tree, lsn) in &request.dropped {
        reclaim.push(*collection);
        freed.extend(tree.stored_pages(&shared.pager)?.into_iter().map(|page| (page, *lsn)));
    }
    let checkpoint = Checkpoint {
        format: CHECKPOINT_FORMAT,
        lsn: state.lsn,
        next_page: state.page_watermark,
        next_collection: state.next_collection,
        collections: collections.iter().map(|c| CollectionRecord::of(&c.0)).collect(),
        reclaim: reclaim.clone(),
        freed_pages: request.freed_later.into_iter().chain(freed.iter().map(|(page, _)| *page)).collect(),
    };
    put_checkpoint(&mut batch, &shared.sealer, &checkpoint)?;
    let pages = written.len();
    shared.engine.commit(batch)?;
    shared.engine.sync()?;
    for (key, version) in &documents {
        shared.cache.refresh(*key, request.generation, version.clone());
    }
    Tree::mark_clean(&shared.pager, written);
    log::trim(&shared.log_dir, state.lsn, &path)?;
    tracing::debug!(lsn = state.lsn, documents = documents.len(), pages, "checkpoint");
    Ok(Done {
        lsn: state.lsn,
        snapshot: shared.engine.snapshot(),
        generation: request.generation,
        page_watermark: state.page_watermark,
        freed,
    })
}

/// Deletes one batch of a dropped collection's documents. What is left is found again after a restart, since the last
/// checkpoint names the collection.
fn reclaim_some(shared: &Shared, reclaim: &mut Vec<u32>) -> Result<(), Error> {
    let Some(collection) = reclaim.last().copied() else { return Ok(()) };
    let (from, to) = (document_key(collection, RecordId(0)), document_key(collection, RecordId(u64::MAX)));
    let mut keys = Vec::new();
    for pair in shared.engine.snapshot().range(Space::Documents, &from, &to).take(RECLAIM_BATCH) {
        keys.push(pair?.0);
    }
    if keys.len() < RECLAIM_BATCH {
        reclaim.pop();
    }
    shared.engine.ingest(Space::Documents, &mut keys.into_iter().map(|key| (key, None)))
}
