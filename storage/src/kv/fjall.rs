//! The embedded engine: fjall. The only file that names it.
//!
//! Only its bulk ingestion is used. Its journal stays empty: a flipped bit there can silently drop batches, and its
//! memtables would hold a second copy of what the log and the memory table have already.

mod manifest;

use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, Readable as _, config::CompressionPolicy};
use bytes::Bytes;
use lsm_tree::AbstractTree as _;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use super::{Activity, Batch, Engine, Entry, Moment, Pairs, Renew, Renewed, Snapshot, Space};
use crate::pace::{COMPACTING, Pace, Turns};
use crate::{Error, error::io};

/// With more than one worker, fjall's first hands compactions on by sending itself the message again and again while
/// another worker compacts: a core spins for as long as that takes (worker_pool.rs of 3.1.13).
const WORKERS: usize = 1;
/// Block cache: index and filter blocks mostly, since documents and pages have caches of their own.
const BLOCK_CACHE_BYTES: u64 = 24 << 20;

/// How large tables are made; fjall's own choice.
const TABLE_BYTES: u64 = 64_000_000;

/// After so many values a compaction looks whether it is to give way.
const LOOK_EVERY: u64 = 64;

/// An open fjall database with its key spaces.
#[derive(Clone)]
pub(crate) struct Fjall {
    database: Database,
    documents: Keyspace,
    pages: Keyspace,
    /// Held by whoever ingests: one at a time.
    ingesting: Arc<Mutex<()>>,
    pace: Arc<Pace>,
    /// How many snapshots there are of each moment.
    snapshots: Arc<Mutex<BTreeMap<Moment, usize>>>,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fjall")
    }
}

fn engine(error: impl std::fmt::Display) -> Error {
    Error::Engine(error.to_string())
}

impl Fjall {
    /// Opens or makes the database in this directory.
    pub(crate) fn open(path: &Path) -> Result<Fjall, Error> {
        let pace = Arc::new(Pace::default());
        let paced: Arc<dyn Factory> = Arc::new(Paced(Arc::clone(&pace)));
        let builder = Database::builder(path).cache_size(BLOCK_CACHE_BYTES).worker_threads(WORKERS);
        let builder = builder.with_compaction_filter_factories(Arc::new(move |_| Some(Arc::clone(&paced))));
        let database = builder.open().map_err(|e| Error::Damaged {
            path: path.to_path_buf(),
            at: "opening".into(),
            what: format!("the key-value engine says {e:?}"),
        })?;
        // Sealed bytes do not compress.
        let options = || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
                .index_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        };
        let documents = database.keyspace("documents", options).map_err(engine)?;
        let pages = database.keyspace("pages", options).map_err(engine)?;
        Ok(Fjall { database, documents, pages, ingesting: Arc::default(), pace, snapshots: Arc::default() })
    }

    /// Opens the database after `check` has passed on a trial copy of it in `trial`, which is removed again.
    ///
    /// fjall tidies up while it opens (it deletes superseded manifests, truncates journals), also when it then refuses.
    /// Tables never change once written, so the copy has hard links to them; everything else is small.
    pub(crate) fn open_checked(
        path: &Path,
        trial: &Path,
        check: impl Fn(&Fjall) -> Result<(), Error> + Sync,
    ) -> Result<Fjall, Error> {
        manifest::check(path)?;
        remove_if_there(trial)?;
        let tried = copy_for_trial(path, trial)
            .map_err(|e| io(trial, e))
            .and_then(|()| on_a_thread_that_may_panic(path, || Fjall::open(trial).and_then(|engine| check(&engine))));
        remove_if_there(trial)?;
        tried.map_err(|error| match error {
            Error::Damaged { at, what, .. } => Error::Damaged { path: path.to_path_buf(), at, what },
            // It was said of the copy.
            Error::Engine(what) => Error::Damaged { path: path.to_path_buf(), at: "opening".into(), what },
            other => other,
        })?;
        on_a_thread_that_may_panic(path, || Fjall::open(path))
    }

    fn keyspace(&self, space: Space) -> &Keyspace {
        match space {
            Space::Documents => &self.documents,
            Space::Pages => &self.pages,
        }
    }

    /// Writes entries; whoever calls it has the lock.
    fn ingest_alone(&self, space: Space, entries: &mut dyn Iterator<Item = Entry>) -> Result<(), Error> {
        // Straight into a table: no journal, no memtable, no copy of all entries in memory. fjall syncs the table and its
        // manifest before it returns.
        let mut ingestion = self.keyspace(space).start_ingestion().map_err(engine)?;
        for (key, value) in entries {
            match value {
                Some(value) => ingestion.write(key, value),
                None => ingestion.write_tombstone(key),
            }
            .map_err(engine)?;
        }
        ingestion.finish().map_err(engine)
    }

    /// What the engine says went wrong in this space, which names the place.
    fn failed<E: std::fmt::Display>(&self, space: Space) -> impl Fn(E) -> Error + use<E> {
        let path = self.keyspace(space).path().to_path_buf();
        move |error| Error::Engine(format!("{}: {error}", path.display()))
    }

    /// Below this, what a newer version replaces is wanted by no snapshot: as fjall reckons, from the oldest of them.
    fn watermark(&self) -> Moment {
        self.oldest_moment().unwrap_or_else(|| self.database.visible_seqno()).saturating_sub(1)
    }
}

/// The name of the thread on which the engine opens files that may be damaged. Some of its checks of them are
/// assertions; what those say becomes the error, so a panic hook need not report it.
pub const OPENING_THREAD: &str = "veddb-open";

fn on_a_thread_that_may_panic<T: Send>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(OPENING_THREAD.into()).spawn_scoped(scope, work);
        thread.map_err(|e| io(path, e))?.join().unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let what = format!("the key-value engine says {}", said.unwrap_or("nothing").replace('\n', " "));
            Err(Error::Damaged { path: path.to_path_buf(), at: "opening".into(), what })
        })
    })
}

fn remove_if_there(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(directory, error)),
        _ => Ok(()),
    }
}

/// Copies a database's directory; its tables, the files below `tables`, as hard links.
fn copy_for_trial(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_for_trial(&entry.path(), &target)?;
        } else if from.ends_with("tables") {
            // A file system without hard links costs a copy.
            std::fs::hard_link(entry.path(), &target).or_else(|_| std::fs::copy(entry.path(), &target).map(|_| ()))?;
        } else {
            copy_sparse(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Copies a file without writing its zeros: fjall's journal is 64 MiB of them.
fn copy_sparse(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::io::Read as _;
    use std::os::unix::fs::FileExt as _;
    let mut source = std::fs::File::open(from)?;
    let copy = std::fs::File::create(to)?;
    copy.set_len(source.metadata()?.len())?;
    let mut piece = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let length = source.read(&mut piece)?;
        let read = piece.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        if read.iter().any(|byte| *byte != 0) {
            copy.write_all_at(read, at)?;
        }
        at += length as u64;
    }
}

impl Engine for Fjall {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.keyspace(space).get(key).map_err(self.failed(space))?.map(Bytes::from))
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        // Counted under the lock, so that nobody finds it missing who asks for the oldest.
        let mut snapshots = self.snapshots.lock();
        let snapshot = self.database.snapshot();
        *snapshots.entry(snapshot.seqno()).or_default() += 1;
        Arc::new(FjallSnapshot { snapshot, engine: self.clone() })
    }

    fn ingest(&self, space: Space, entries: &mut dyn Iterator<Item = Entry>) -> Result<(), Error> {
        let _alone = self.ingesting.lock();
        self.ingest_alone(space, entries)
    }

    fn renew(&self, space: Space, from: &[u8], batch: Batch, renew: &mut Renew<'_>) -> Result<Renewed, Error> {
        let _alone = self.ingesting.lock();
        let snapshot = self.database.snapshot();
        let mut entries: Vec<Entry> = Vec::new();
        let (mut seen, mut bytes, mut bytes_renewed, mut next) = (0, 0, 0, None);
        for pair in snapshot.range(self.keyspace(space), from.to_vec()..) {
            let (key, value) = pair.into_inner().map_err(self.failed(space))?;
            if seen >= batch.records_max || bytes >= batch.bytes_max {
                next = Some(key.to_vec());
                break;
            }
            seen += 1;
            bytes += value.len();
            if let Some(other) = renew(&key, &value)? {
                bytes_renewed += other.len() as u64;
                entries.push((Bytes::from(key), Some(other)));
            }
        }
        drop(snapshot);
        let renewed = entries.len() as u64;
        if renewed > 0 {
            self.ingest_alone(space, &mut entries.into_iter())?;
        }
        Ok(Renewed { seen, renewed, bytes: bytes_renewed, next })
    }

    fn all_stored(&self, space: Space, visit: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        for table in self.keyspace(space).tree.current_version().iter_tables() {
            for item in table.scan().map_err(self.failed(space))? {
                let item = item.map_err(self.failed(space))?;
                if !item.is_tombstone() {
                    visit(&item.value)?;
                }
            }
        }
        Ok(())
    }

    fn oldest_moment(&self) -> Option<Moment> {
        self.snapshots.lock().keys().next().copied()
    }

    fn compact(&self) -> Result<(), Error> {
        for space in Space::ALL {
            // Not by way of fjall, whose own watermark is only brought up now and then.
            self.keyspace(space).tree.major_compact(TABLE_BYTES, self.watermark()).map_err(engine)?;
        }
        Ok(())
    }

    fn release(&self) -> Result<HashSet<PathBuf>, Error> {
        let mut others = HashSet::new();
        for space in Space::ALL {
            let keyspace = self.keyspace(space);
            let path = keyspace.path();
            let watermark = self.watermark();
            keyspace.tree.get_version_history_lock().maintenance(path, watermark).map_err(engine)?;
            let folder = path.join("tables");
            let newest: HashSet<PathBuf> = {
                let version = keyspace.tree.current_version();
                version.iter_tables().map(|table| folder.join(table.id().to_string())).collect()
            };
            for entry in std::fs::read_dir(&folder).map_err(|e| io(&folder, e))? {
                others.insert(entry.map_err(|e| io(&folder, e))?.path());
            }
            others.retain(|path| !newest.contains(path));
        }
        Ok(others)
    }

    fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    fn disk_space(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    fn activity(&self) -> Activity {
        Activity {
            tables: Space::ALL.iter().map(|space| self.keyspace(*space).table_count() as u64).sum(),
            compactor_running: self.database.active_compactions() as u64,
            compactor_runs: self.database.compactions_completed() as u64,
            compactor_us: u64::try_from(self.database.time_compacting().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// Has compactions give way to clients while a rotation makes more of them than there would be. It keeps every value.
#[derive(Debug)]
struct Paced(Arc<Pace>);

impl Factory for Paced {
    fn name(&self) -> &str {
        "paced"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(PacedCompaction { turns: self.0.turns(), pace: Arc::clone(&self.0), seen: 0 })
    }
}

struct PacedCompaction {
    pace: Arc<Pace>,
    turns: Turns,
    seen: u64,
}

impl CompactionFilter for PacedCompaction {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        self.seen += 1;
        if self.seen.is_multiple_of(LOOK_EVERY) && self.pace.is_worked() {
            let Ok(()) = self.turns.give_way(COMPACTING, |time| {
                std::thread::sleep(time);
                Ok::<(), std::convert::Infallible>(())
            });
        }
        Ok(Verdict::Keep)
    }
}

struct FjallSnapshot {
    snapshot: ::fjall::Snapshot,
    engine: Fjall,
}

impl std::fmt::Debug for FjallSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FjallSnapshot")
    }
}

impl Drop for FjallSnapshot {
    fn drop(&mut self) {
        let mut snapshots = self.engine.snapshots.lock();
        let moment = self.snapshot.seqno();
        if let Some(count) = snapshots.get_mut(&moment) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&moment);
            }
        }
    }
}

impl Snapshot for FjallSnapshot {
    fn moment(&self) -> Moment {
        self.snapshot.seqno()
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let found = self.snapshot.get(self.engine.keyspace(space), key).map_err(self.engine.failed(space))?;
        Ok(found.map(Bytes::from))
    }

    fn range(&self, space: Space, from: &[u8], to: &[u8]) -> Pairs {
        let pairs = self.snapshot.range(self.engine.keyspace(space), from.to_vec()..to.to_vec());
        let engine = self.engine.clone();
        Box::new(pairs.map(move |guard| {
            let (key, value) = guard.into_inner().map_err(engine.failed(space))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        }))
    }
}
