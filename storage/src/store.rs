//! An open store: what the rest of the program holds.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::Audit;
use crate::build::{Builder, ask};
use crate::collection::{is_own, is_temporary};
use crate::commit::{Committer, Message};
use crate::control::Control;
use crate::effect::EffectWriter;
use crate::kv::Activity;
use crate::log::{self, Log, LogIdentity, Progress};
use crate::note::{Listener, OwnWatcher};
use crate::recover::{Layout, Recovered, recover};
use crate::replicate::{Exports, Staging, finish_install, is_install_begun, next_term, promotions};
use crate::rotate::{self, DataKeys, Rotator};
use crate::seal::{Keyring, MasterKeySource, Sealer, resolve};
use crate::shared::Shared;
use crate::space::{look, trim_beside};
use crate::ttl::{Sweeper, Ttl};
use crate::view::{Names, View};
use crate::{Error, FsyncPolicy, Job, Options, Stats, Timings, checkpoint};

/// An open store. Closing it (or dropping it) writes everything out.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    control: Arc<Control>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) queue: SyncSender<Message>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closing: Arc<AtomicBool>,
    ttl: Arc<Ttl>,
    pub(crate) exports: Arc<Exports>,
    replayed_units: u64,
    lock: Mutex<Option<File>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// How often `everysec` syncs.
const SYNC_INTERVAL: Duration = Duration::from_millis(1000);

impl Store {
    /// Opens the store in `options.dir`, or makes one there.
    ///
    /// # Errors
    /// `Refused`, `Damaged` and `Sealing` when the directory is in use, foreign, damaged, or the master key is missing or
    /// wrong; then nothing in it has been changed.
    pub fn open(options: Options, master: &MasterKeySource) -> Result<Store, Error> {
        let layout = Layout::of(&options.dir);
        if is_install_begun(&layout.sync) {
            let _lock = layout.lock()?;
            finish_install(&layout)?;
        }
        let exists = layout.holds_store()?;
        if exists {
            // Without a lock file there is nothing to lock, and making one would be a change.
            check_readable(&layout.dir)?;
        }
        let lock = layout.lock()?;
        let (key, key_origin) = resolve(master, &layout.dir, exists)?;
        let keyring =
            if exists { Keyring::load(&layout.dir, &key)? } else { Keyring::create(&layout.dir, &key, now_ms())? };
        let identity = LogIdentity { sealer: Sealer::new(&keyring), history_id: keyring.history_id() };
        let found = (master.clone(), key_origin);
        let keys = Arc::new(DataKeys::new(&layout.dir, identity.sealer.clone(), keyring, &key, found));
        drop(key);
        let rotated = rotate::opened(&keys)?;
        let recovered = recover(&layout, &options, &identity, keys)?;
        Store::start(options, &layout, identity, recovered, rotated, lock)
    }

    fn start(
        options: Options,
        layout: &Layout,
        identity: LogIdentity,
        recovered: Recovered,
        rotated: Option<rotate::Progress>,
        lock: File,
    ) -> Result<Store, Error> {
        let Recovered { shared, mut working, checkpoint, tail, replayed_units } = recovered;
        crate::spill::prepare(&layout.tmp)?;
        layout.remove_unfinished()?;
        if !options.replica {
            // Nobody will go on with it.
            Staging::discard(&layout.dir)?;
        }
        shared.audit.recover()?;
        if tail.torn_bytes > 0 {
            tracing::warn!(bytes = tail.torn_bytes, "the log's torn tail, never acknowledged as durable, is cut");
        }
        let last_lsn = tail.last_lsn;
        let own_term = next_term(promotions(tail.term));
        let log = Log::open(&layout.log, identity, options.log_segment_bytes, tail)?;
        let progress = log.progress();
        shared.feed.opened(Arc::clone(&progress), log::first_lsn(&layout.log)?);
        let first = {
            let before = Arc::clone(&shared.state.read());
            let state = Arc::new(working.publish(&before, last_lsn, shared.pager.watermark()));
            *shared.state.write() = Arc::clone(&state);
            state
        };
        working.lsn_oldest_reader = last_lsn;
        shared.feed.advance(last_lsn);
        let control = Arc::new(Control::new(options.fsync));
        control.lsn_applied.store(checkpoint.lsn, Ordering::Relaxed);
        let (queue, jobs) = sync_channel(options.queue_length);
        let (requests, checkpoint_requests) = sync_channel(1);
        let (done, checkpoints_done) = sync_channel(1);
        let committer = Committer {
            shared: Arc::clone(&shared),
            control: Arc::clone(&control),
            log,
            working,
            queue: jobs,
            checkpoints: requests,
            checkpoints_done,
            own_term,
            group_term: own_term,
            log_pinned_bytes_max: options.log_pinned_bytes_max,
            write_memory_bytes: options.write_memory_bytes,
            on_fatal: Arc::clone(&options.on_fatal),
            readers: VecDeque::from([(last_lsn, Arc::downgrade(&first))]),
            adopted: Vec::new(),
            freed_stored: checkpoint.freed_pages.iter().map(|page| (*page, 0)).collect(),
            page_watermark: checkpoint.next_page,
            lsn_applied: checkpoint.lsn,
            log_bytes_at_checkpoint: 0,
            checkpoint_running: false,
            disk_reserve_bytes: options.disk_reserve_bytes,
            space_checked_at: 0,
            group_lsn: last_lsn,
            effects: EffectWriter::default(),
            group: Vec::new(),
            notes: Vec::new(),
            keys_expired: 0,
            wanted: Vec::new(),
            awaited: Vec::new(),
        };
        let first_own =
            first.databases.iter().flat_map(Names::values).any(|collection| is_temporary(collection.name()));
        drop(first);
        let closing = Arc::new(AtomicBool::new(false));
        let mut threads = vec![spawn("veddb-commit", move || committer.run())?];
        threads.push({
            let (shared, queue, reclaim) = (Arc::clone(&shared), queue.clone(), checkpoint.reclaim.clone());
            spawn("veddb-checkpoint", move || {
                checkpoint::run(&shared, &checkpoint_requests, &done, reclaim, &|| {
                    // A full queue means that the committer is awake.
                    let _ = queue.try_send(Message::CheckpointDone);
                });
            })?
        });
        threads.push({
            let builder = Builder {
                shared: Arc::clone(&shared),
                queue: queue.clone(),
                closing: Arc::clone(&closing),
                memory_bytes: options.index_build_memory_bytes,
                put_off: Mutex::default(),
            };
            spawn("veddb-index", move || builder.run())?
        });
        threads.push({
            let rotator = Rotator {
                shared: Arc::clone(&shared),
                queue: queue.clone(),
                closing: Arc::clone(&closing),
                disk_reserve_bytes: options.disk_reserve_bytes,
                progress: rotated,
                now_ms,
            };
            spawn("veddb-rotate", move || rotator.run())?
        });
        let ttl = Arc::new(Ttl {
            interval_ms: AtomicU64::new(options.ttl_sweep_ms),
            sweeps: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
        });
        threads.push({
            let (shared, queue, closing) = (Arc::clone(&shared), queue.clone(), Arc::clone(&closing));
            let sweeper = Sweeper { shared, ttl: Arc::clone(&ttl), queue, closing, now_ms };
            spawn("veddb-ttl", move || sweeper.run())?
        });
        let exports = Arc::new(Exports::new(Duration::from_millis(options.export_age_ms_max)));
        threads.push({
            let exports = Arc::clone(&exports);
            let (control, progress, closing) = (Arc::clone(&control), Arc::clone(&progress), Arc::clone(&closing));
            let (on_fatal, shared) = (Arc::clone(&options.on_fatal), Arc::clone(&shared));
            let (pinned_bytes_max, reserve) = (options.log_pinned_bytes_max, options.disk_reserve_bytes);
            look(&shared, &control, reserve);
            spawn("veddb-fsync", move || {
                while !closing.load(Ordering::Acquire) {
                    std::thread::park_timeout(SYNC_INTERVAL);
                    exports.expire();
                    look(&shared, &control, reserve);
                    if shared.feed.take_trim_wanted() {
                        trim_beside(&shared, &control, pinned_bytes_max, reserve);
                    }
                    if control.fsync() != FsyncPolicy::EverySecond && !shared.feed.take_sync_wanted() {
                        continue;
                    }
                    let durable_before = progress.lsn_durable();
                    if let Err(error) = sync(&control, &progress) {
                        on_fatal(&error);
                        return;
                    }
                    if progress.lsn_durable() > durable_before {
                        shared.feed.synced();
                    }
                }
            })?
        });
        if first_own
            && !options.replica
            && let Err(error) = drop_temporary(&queue)
        {
            // Nobody sees them; the next start finds them again.
            tracing::warn!(%error, "what an unfinished $out left behind could not be dropped");
        }
        Ok(Store {
            shared,
            control,
            progress,
            queue,
            threads: Mutex::new(threads),
            closing,
            ttl,
            exports,
            replayed_units,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// The data keys, and where the master key is.
    pub fn data_keys(&self) -> &Arc<DataKeys> {
        &self.shared.data_keys
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    /// The data as it is now; `now_ms`, milliseconds since 1970, says what has expired.
    pub fn view(&self, now_ms: u64) -> View {
        self.shared.pace.note(1);
        View { now_ms, ..View::stored(&self.shared) }
    }

    /// The same for a look that is nothing that a client does, so that background work need not give way to it. Of what has expired it
    /// knows nothing.
    pub fn glance(&self) -> View {
        View::stored(&self.shared)
    }

    /// Gives the committer a job. Never waits: when the queue is full the job comes back, and
    /// whoever submits has to hold itself back (the queue's length is `Options::queue_length`).
    pub fn submit(&self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        if self.closing.load(Ordering::Acquire) {
            job.finished(Err(Error::ShuttingDown));
            return Ok(());
        }
        match self.queue.try_send(Message::Job(job)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Message::Job(job))) => Err(job),
            Err(TrySendError::Disconnected(Message::Job(job))) => {
                job.finished(Err(Error::LogFailed("the store has failed".into())));
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// Changes when acknowledged writes are on disk, from the next group on.
    pub fn set_fsync_policy(&self, policy: FsyncPolicy) {
        self.control.set_fsync(policy);
    }

    /// Changes the memory budgets, bytes.
    pub fn set_memory_budgets(&self, index_bytes: usize, cache_bytes: usize) {
        self.shared.pager.set_budget_bytes(index_bytes);
        self.shared.pager.evict();
        self.shared.cache.set_budget_bytes(cache_bytes);
    }

    /// Changes how often expired documents are looked for, milliseconds.
    pub fn set_ttl_sweep_ms(&self, interval_ms: u64) {
        self.ttl.interval_ms.store(interval_ms, Ordering::Relaxed);
    }

    /// Has this told of what units note from now on. Can be said once.
    pub fn listen(&self, listener: Listener) {
        if self.shared.notes.listener.set(listener).is_err() {
            tracing::warn!("somebody listens to the store already");
        }
    }

    /// Has changes of these collections of the server's own, in database 0, told from now on. Can be said once.
    pub fn watch_own(&self, names: &[&'static str], watcher: OwnWatcher) {
        if !self.shared.notes.watch_own(names, watcher) {
            tracing::warn!("somebody watches the server's own collections already");
        }
    }

    /// Whether what happens to keys, and to documents, is to be noted.
    pub fn want_notes(&self, keys: bool, documents: bool) {
        self.shared.notes.want(keys, documents);
    }

    /// Returns when every acknowledged write is on disk.
    pub fn sync(&self) -> Result<(), Error> {
        sync(&self.control, &self.progress)?;
        self.shared.feed.synced();
        Ok(())
    }

    /// Changes how much of the log is kept for whoever may want to know what changed, bytes. What is too much goes within about a second.
    pub fn set_log_kept_bytes(&self, bytes: u64) {
        self.shared.feed.set_kept_bytes(bytes);
    }

    /// The store's figures.
    pub fn stats(&self) -> Stats {
        let state = Arc::clone(&self.shared.state.read());
        let collections = || state.databases.iter().flat_map(Names::values).filter(|c| !is_own(c.name()));
        let (index_loads, index_evictions) = self.shared.pager.counters();
        let (cache_hits, cache_misses) = self.shared.cache.counters();
        let (key_hits, key_misses) = self.shared.lookups.counts();
        let tables = state.sources.active.bytes() + state.sources.frozen.as_ref().map_or(0, |t| t.bytes());
        let (log_segments, log_disk_bytes) = log::disk_space(&self.shared.log_dir);
        Stats {
            collections: collections().count() as u64,
            documents: collections().map(|c| c.count()).sum(),
            lsn_written: self.progress.lsn_written(),
            lsn_durable: self.progress.lsn_durable(),
            lsn_applied: self.control.lsn_applied.load(Ordering::Relaxed),
            groups: self.control.groups.load(Ordering::Relaxed),
            units: self.control.units.load(Ordering::Relaxed),
            log_bytes_written: self.control.log_bytes.load(Ordering::Relaxed),
            groups_refused: self.control.groups_refused.load(Ordering::Relaxed),
            log_segments,
            log_disk_bytes,
            engine_disk_bytes: self.shared.engine.disk_space(),
            checkpoints: self.control.checkpoints.load(Ordering::Relaxed),
            checkpointed_ms: self.control.checkpointed_ms.load(Ordering::Relaxed),
            write_memory_bytes: tables as u64
                + self.control.recent_bytes.load(Ordering::Relaxed)
                + self.control.frozen_bytes.load(Ordering::Relaxed),
            index_memory_bytes: self.shared.pager.resident_bytes() as u64,
            index_loads,
            index_evictions,
            cache_bytes: self.shared.cache.bytes() as u64,
            cache_hits,
            cache_misses,
            cache_evictions: self.shared.cache.evictions(),
            key_hits,
            key_misses,
            keys_expired: self.control.keys_expired.load(Ordering::Relaxed),
            ttl_deleted: self.ttl.deleted.load(Ordering::Relaxed),
            ttl_sweeps: self.ttl.sweeps.load(Ordering::Relaxed),
            replayed_units: self.replayed_units,
        }
    }

    /// Bytes that are free for this process on the disk of the data directory, a second ago at most; none where the system does not say.
    pub fn disk_free_bytes(&self) -> Option<u64> {
        Some(self.control.disk_free.load(Ordering::Relaxed)).filter(|free| *free < u64::MAX)
    }

    /// Whether writes are refused since too little of the disk is free beside what is still to be written, as of a second ago at most.
    pub fn is_out_of_space(&self) -> bool {
        self.control.space_low.load(Ordering::Relaxed)
    }

    /// What the engine has and does by itself.
    pub fn engine_activity(&self) -> Activity {
        self.shared.engine.activity()
    }

    /// How long its own work took, and how large groups were.
    pub fn timings(&self) -> Timings {
        Timings {
            syncs_us: self.progress.syncs_us(),
            group_units: self.control.group_units.lock().clone(),
            checkpoints_us: self.control.checkpoints_us.lock().clone(),
        }
    }

    /// Commits what is queued, writes a checkpoint, syncs, and lets the directory go. Blocks. The second call does nothing.
    pub fn close(&self) {
        if self.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.exports.close();
        self.shared.builds.notify();
        self.shared.data_keys.wake();
        self.shared.pace.end();
        // A full queue is being worked off, so waiting for a place is bounded.
        let _ = self.queue.send(Message::Close);
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.shared.feed.close();
        *self.lock.lock() = None;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Drops the server's own collections but for keys: whoever made them is gone.
pub(crate) fn drop_temporary(queue: &SyncSender<Message>) -> Result<(), Error> {
    ask(queue, |tx| {
        for (db, name) in tx.temporary_collections() {
            tx.drop_own_collection(db, &name)?;
        }
        Ok(())
    })
}

fn sync(control: &Control, progress: &Progress) -> Result<(), Error> {
    let (file, path, lsn) = {
        let target = control.sync_target.lock();
        let Some((file, path)) = &*target else { return Ok(()) };
        (Arc::clone(file), path.clone(), progress.lsn_written())
    };
    log::sync_handle(&file, &path, lsn, progress)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|source| Error::Io { path: format!("thread {name}").into(), source })
}

fn check_readable(dir: &Path) -> Result<(), Error> {
    std::fs::read_dir(dir).map(|_| ()).map_err(|source| Error::Io { path: dir.to_path_buf(), source })
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
