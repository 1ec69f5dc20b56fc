//! Checkpoints: bringing the engine up to a state, beside the committer.
//!
//! First the documents and index pages written since the last checkpoint go to the engine in bulk; then the file
//! `checkpoint` is replaced: catalog, roots of the indexes, LSN. Until then nothing refers to the new pages, and documents
//! that are newer than the checkpoint are in the log too, whose replay writes them again. Pages that the new checkpoint no
//! longer refers to are deleted by the next one. So recovery is: read the checkpoint, replay the log after it.

use bytes::Bytes;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use crate::Error;
use crate::collection::CollectionHandle;
use crate::collection::{CHECKPOINT_FORMAT, CHECKPOINT_FORMAT_OLDEST, Checkpoint, CollectionRecord};
use crate::error::io;
use crate::index::{self, DirtyPage, EXPIRIES, PageId, Tree, page_key};
use crate::kv::{Engine, Entry, Snapshot, Space};
use crate::log;
use crate::lsn::Lsn;
use crate::memtable::Memtable;
use crate::names;
use crate::record_id::{RecordId, document_key};
use crate::seal::{Purpose, Sealer, replace_file};
use crate::shared::{Shared, seal_document};
use crate::space;
use crate::view::{Names, State};
use crate::working::Dropped;

const CONTEXT: &[u8] = b"checkpoint";
/// Documents of dropped collections deleted in one batch.
const RECLAIM_BATCH: usize = 50_000;

/// What a checkpoint is made of.
pub(crate) struct Request {
    /// A published state; its frozen memory table holds all documents written since the last checkpoint.
    pub(crate) state: Arc<State>,
    pub(crate) log: (Arc<File>, PathBuf, Lsn),
    pub(crate) progress: Arc<log::Progress>,
    /// Pages that neither the last checkpoint nor a reader has.
    pub(crate) freed_now: Vec<PageId>,
    /// Pages that the last checkpoint or a reader of an older state may still have.
    pub(crate) freed_later: Vec<PageId>,
    /// What was dropped since the last checkpoint.
    pub(crate) dropped: Vec<Dropped>,
    /// Nothing of the log is to be kept for followers that are away.
    pub(crate) roll: bool,
    /// The last unit of the checkpoint before.
    pub(crate) lsn_applied: Lsn,
    /// How much of the log is kept for followers, bytes.
    pub(crate) log_pinned_bytes_max: u64,
    /// Nothing of the log is kept for those who may want to know what changed while less than twice this is free, bytes.
    pub(crate) disk_reserve_bytes: u64,
    /// The generation that the engine will have.
    pub(crate) generation: u64,
}

/// What the committer learns when a checkpoint is done.
pub(crate) struct Done {
    pub(crate) lsn: Lsn,
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) generation: u64,
    pub(crate) page_watermark: PageId,
    /// Trees of indexes with what was frozen of them: collection, index, tree.
    pub(crate) trees: Vec<(u32, u32, Tree)>,
    /// Stored pages that these trees no longer have.
    pub(crate) replaced: Vec<PageId>,
    /// Stored pages of the dropped trees, to be freed by the next checkpoint.
    pub(crate) freed: Vec<(PageId, Lsn)>,
    /// From the request to its end, microseconds.
    pub(crate) took_us: u64,
}

/// Reads the checkpoint; none where there is no file.
pub(crate) fn read(path: &Path, sealer: &Sealer) -> Result<Option<Checkpoint>, Error> {
    let sealed = match std::fs::read(path) {
        Ok(sealed) => sealed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path, error)),
    };
    let damaged = |what: String| Error::Damaged { path: path.to_path_buf(), at: "offset 0".into(), what };
    let plain = sealer.open(Purpose::Catalog, CONTEXT, &sealed).map_err(|e| damaged(e.to_string()))?;
    let checkpoint: Checkpoint = serde_json::from_slice(&plain).map_err(|e| damaged(e.to_string()))?;
    if !(CHECKPOINT_FORMAT_OLDEST..=CHECKPOINT_FORMAT).contains(&checkpoint.format) {
        return Err(damaged(format!("format {} is not known to this version", checkpoint.format)));
    }
    Ok(Some(checkpoint))
}

/// The checkpoint of a store without anything.
pub(crate) fn write_first(path: &Path, engine: &dyn Engine, sealer: &Sealer) -> Result<Checkpoint, Error> {
    let checkpoint = Checkpoint::first();
    write_whole(path, engine, sealer, &checkpoint)?;
    Ok(checkpoint)
}

/// The checkpoint of an engine that has all it speaks of.
pub(crate) fn write_whole(
    path: &Path,
    engine: &dyn Engine,
    sealer: &Sealer,
    checkpoint: &Checkpoint,
) -> Result<(), Error> {
    for space in Space::ALL {
        engine.ingest(space, &mut std::iter::once(marker(space, sealer, checkpoint.lsn)))?;
    }
    put(path, sealer, checkpoint)
}

fn put(path: &Path, sealer: &Sealer, checkpoint: &Checkpoint) -> Result<(), Error> {
    let plain = serde_json::to_vec(checkpoint).map_err(|e| Error::Engine(e.to_string()))?;
    let mut sealed = Vec::new();
    sealer.seal(Purpose::Catalog, CONTEXT, &plain, &mut sealed);
    replace_file(path, &sealed)
}

/// The last key of a key space; its value says up to which LSN the space was written.
const MARKER_KEY: [u8; 12] = [0xff; 12];

/// What the value of a key is sealed as.
pub(crate) fn place(space: Space, key: &[u8]) -> (Purpose, &[u8]) {
    match space {
        _ if key == MARKER_KEY => (Purpose::Catalog, marker_context(space)),
        Space::Documents => (Purpose::Documents, key),
        Space::Pages => (Purpose::Pages, key),
    }
}

fn marker_context(space: Space) -> &'static [u8] {
    match space {
        Space::Documents => b"marker documents",
        Space::Pages => b"marker pages",
    }
}

fn marker(space: Space, sealer: &Sealer, lsn: Lsn) -> Entry {
    let mut sealed = Vec::new();
    sealer.seal(Purpose::Catalog, marker_context(space), &lsn.to_le_bytes(), &mut sealed);
    (Bytes::copy_from_slice(&MARKER_KEY), Some(sealed.into()))
}

/// Refuses an engine that is older than the checkpoint: its own bookkeeping is not authenticated, and damage there can
/// make whole tables disappear.
pub(crate) fn check_engine(engine: &dyn Engine, sealer: &Sealer, lsn: Lsn, path: &Path) -> Result<(), Error> {
    for space in [Space::Documents, Space::Pages] {
        let damaged = |what: String| Error::Damaged { path: path.to_path_buf(), at: format!("{space:?}"), what };
        let sealed = engine.get(space, &MARKER_KEY)?.ok_or_else(|| damaged("its marker is missing".into()))?;
        let plain =
            sealer.open(Purpose::Catalog, marker_context(space), &sealed).map_err(|e| damaged(e.to_string()))?;
        let found = plain.try_into().map(u64::from_le_bytes).map_err(|_| damaged("not a marker".into()))?;
        if found < lsn {
            return Err(damaged(format!("it ends at LSN {found}, the checkpoint at {lsn}")));
        }
    }
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
    let began = Instant::now();
    let state = request.state;
    let (file, path, lsn_written) = request.log;
    let (wanted_bytes_max, reserve) = (request.log_pinned_bytes_max, request.disk_reserve_bytes);
    let kept = |after| log::Kept { after, wanted_bytes_max, any_bytes: space::kept_bytes(shared, reserve) };
    if space::kept_bytes(shared, reserve) < shared.feed.kept_bytes() {
        // What is kept of the log goes before the checkpoint takes its space.
        trim(shared, kept(shared.feed.wanted_after(false)), request.lsn_applied, &path)?;
    }
    // The engine must never be ahead of the log.
    log::sync_handle(&file, &path, lsn_written, &request.progress)?;
    shared.feed.synced();
    let collections: Vec<_> = state.databases.iter().flat_map(Names::values).collect();
    let mut documents = state.sources.frozen.as_deref().map(Memtable::newest).unwrap_or_default();
    let known: std::collections::HashSet<u32> = collections.iter().map(|c| c.id().0).collect();
    // Those of collections that were dropped meanwhile are nobody's any more, neither on disk nor in the cache.
    documents.retain(|((collection, _), _)| known.contains(collection));
    shared.cache.begin_generation(request.generation);
    let mut entries = documents.iter().map(|((collection, record), version)| {
        let key = document_key(*collection, *record);
        let value = version.as_ref().map(|document| seal_document(&shared.sealer, &key, document));
        (Bytes::copy_from_slice(&key), value)
    });
    let document_marker = std::iter::once_with(|| marker(Space::Documents, &shared.sealer, state.lsn));
    shared.engine.ingest(Space::Documents, &mut (&mut entries).chain(document_marker))?;
    let (trees, replaced) = bring_up(shared, &collections, state.lsn)?;
    let mut pages = Vec::new();
    for collection in &collections {
        collection.0.id_index.dirty(&mut pages);
        for index in collection.0.kept() {
            let key = (collection.id().0, index.id);
            trees.get(&key).unwrap_or(&index.tree).dirty(&mut pages);
        }
    }
    write_pages(shared, &pages, &request.freed_now, Some(state.lsn))?;
    let mut freed = Vec::new();
    for dropped in &request.dropped {
        reclaim.extend(dropped.collection);
        for tree in &dropped.trees {
            freed.extend(tree.stored_pages(&shared.pager)?.into_iter().map(|page| (page, dropped.lsn)));
        }
    }
    let records = collections.iter().map(|collection| {
        let mut record = CollectionRecord::of(&collection.0);
        for index in &mut record.indexes {
            if let Some(tree) = trees.get(&(record.id, index.id)) {
                index.root = Some(tree.root_page());
            }
        }
        if let Some(tree) = trees.get(&(record.id, EXPIRIES)) {
            record.expiries_root = Some(tree.root_page());
        }
        record
    });
    // Above every page that was written now. What others have reserved below it, they have made known before.
    let next_page = shared.pager.watermark();
    let kept_after = shared.feed.wanted_after(request.roll);
    // What the log has may be read, whether it is to be kept or not.
    let (past_names, names_after) = names::after(&state.past_names, shared.feed.lsn_first().saturating_sub(1));
    shared.feed.forget_names(names_after);
    let checkpoint = Checkpoint {
        lsn: state.lsn,
        next_page,
        next_collection: state.next_collection,
        collections: records.collect(),
        reclaim: reclaim.clone(),
        // Those that a crash would leave to nobody are among them. What was reserved since the line above is not: after a
        // crash its ids are given out again.
        freed_pages: request
            .freed_later
            .into_iter()
            .chain(freed.iter().map(|(page, _)| *page))
            .chain(replaced.iter().copied())
            .chain(shared.builds.unfinished_pages())
            .filter(|page| *page < next_page)
            .collect(),
        past_names,
        names_after: Some(shared.feed.names_after()),
        log_kept_after: kept_after,
        ..Checkpoint::first().with_terms(&state.terms)
    };
    put(&shared.checkpoint_path, &shared.sealer, &checkpoint)?;
    shared.cache.refresh(request.generation, &documents);
    for collection in request.dropped.iter().filter_map(|dropped| dropped.collection) {
        shared.cache.forget(collection);
    }
    let written = pages.len();
    Tree::mark_clean(&shared.pager, pages);
    trim(shared, kept(kept_after), state.lsn, &path)?;
    tracing::debug!(lsn = state.lsn, documents = documents.len(), pages = written, "checkpoint");
    Ok(Done {
        lsn: state.lsn,
        snapshot: shared.engine.snapshot(),
        generation: request.generation,
        page_watermark: state.page_watermark,
        trees: trees.into_iter().map(|((collection, index), tree)| (collection, index, tree)).collect(),
        replaced,
        freed,
        took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    })
}

/// Deletes what neither a start from a checkpoint that ends with this unit nor anybody else needs of the log; how many segments.
pub(crate) fn trim(shared: &Shared, kept: log::Kept, lsn: Lsn, current: &Path) -> Result<usize, Error> {
    let _files = shared.feed.files().lock();
    let removed = log::trim(&shared.log_dir, lsn, current, kept)?;
    shared.feed.trimmed(log::first_lsn(&shared.log_dir)?);
    Ok(removed)
}

/// Changes brought to a tree at a time.
const CHANGES: usize = 20_000;

type Trees = std::collections::BTreeMap<(u32, u32), Tree>;

/// The trees of indexes with what was frozen of them, and the stored pages that they no longer have.
fn bring_up(shared: &Shared, collections: &[&CollectionHandle], lsn: Lsn) -> Result<(Trees, Vec<PageId>), Error> {
    let mut trees = Trees::new();
    let (mut freed, mut dirty_bytes) = (Vec::new(), 0);
    for collection in collections {
        for index in collection.0.kept() {
            let Some(frozen) = &index.frozen else { continue };
            let mut tree = index.tree.clone();
            let mut last: Option<Box<[u8]>> = None;
            loop {
                let changed = frozen.changed(last.as_deref(), CHANGES);
                let Some((key, _)) = changed.last() else { break };
                last = Some(key.clone());
                let record = |key: &[u8]| index::Entry::of(key).map_or(0, |entry| entry.record.0);
                let changes: Vec<index::Change> = changed
                    .into_iter()
                    .map(|(key, there)| {
                        let value = there.then(|| record(&key));
                        (key, value)
                    })
                    .collect();
                let mut edit = index::Edit {
                    pager: &shared.pager,
                    freed: &mut freed,
                    lsn,
                    reserved: None,
                    dirty_bytes: &mut dirty_bytes,
                };
                tree.apply(&mut edit, &changes)?;
                // Pages cannot leave memory before the engine has them.
                if dirty_bytes > shared.pager.budget_bytes() / 8 {
                    let mut pages = Vec::new();
                    tree.dirty(&mut pages);
                    write_pages(shared, &pages, &[], None)?;
                    Tree::mark_clean(&shared.pager, pages);
                    dirty_bytes = 0;
                }
            }
            trees.insert((collection.id().0, index.id), tree);
        }
    }
    Ok((trees, freed.into_iter().filter(|freed| freed.stored).map(|freed| freed.page).collect()))
}

/// Brings pages to the engine: new ones in, freed ones out, by ascending id; with the LSN when they are all of a state.
fn write_pages(shared: &Shared, pages: &[DirtyPage], freed: &[PageId], lsn: Option<Lsn>) -> Result<(), Error> {
    let mut edits: Vec<(PageId, Option<&DirtyPage>)> = pages.iter().map(|page| (page.id(), Some(page))).collect();
    edits.extend(freed.iter().map(|id| (*id, None)));
    // A page that a crash left behind may have been freed under an id that is now used again; what is written wins.
    edits.sort_by_key(|(id, page)| (*id, page.is_none()));
    edits.dedup_by_key(|(id, _)| *id);
    let mut entries = edits.into_iter().map(|(id, page)| match page {
        Some(page) => page.entry(&shared.pager),
        None => (Bytes::copy_from_slice(&page_key(id)), None),
    });
    let marker = lsn.into_iter().map(|lsn| marker(Space::Pages, &shared.sealer, lsn));
    shared.engine.ingest(Space::Pages, &mut (&mut entries).chain(marker))
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
