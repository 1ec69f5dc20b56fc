//! The committer: the one thread that changes data.
//!
//! It takes jobs from a bounded queue, runs their units against its working state, appends the group to the log, syncs it
//! when `appendfsync` is `always`, publishes the new state, and only then lets the jobs answer.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::checkpoint;
use crate::control::Control;
use crate::effect::{EffectWriter, append_unit};
use crate::index::{PageId, Phase};
use crate::log::{AppendError, Log};
use crate::lsn::Lsn;
use crate::memtable::Memtable;
use crate::note::Note;
use crate::options::{FsyncPolicy, OnFatal};
use crate::replicate::{Apply, next_term, promotions};
use crate::shared::Shared;
use crate::transaction::Transaction;
use crate::view::State;
use crate::working::Working;

/// Work for the committer: some atomic units, and what to do when they are durable.
pub trait Job: Send {
    /// How many units there are.
    fn units(&self) -> usize;
    /// Runs unit `at`. False: it failed, and what it did is to be undone.
    fn run(&mut self, at: usize, transaction: &mut Transaction<'_>) -> bool;
    /// The first so many units are durable, whatever becomes of the others: a job whose units are large is committed in several
    /// groups.
    fn kept(&mut self, _units: usize) {}
    /// How the last group that has units of it came into the log; called before it is finished, where that went well.
    fn logged(&mut self, _logged: &Logged) {}
    /// Called once, when the group is durable as `appendfsync` asks, or with the reason why none of its units took place but those that were kept.
    /// The place to answer from.
    fn finished(self: Box<Self>, outcome: Result<(), Error>);
}

/// How a group of units came into the log.
#[derive(Debug, Clone, Copy)]
pub struct Logged {
    /// How many units it has, of all jobs.
    pub units: u32,
    /// When all of them had been run.
    pub began: Instant,
    /// When the log had them.
    pub written: Instant,
    /// When the disk had them, where `appendfsync` waits for that.
    pub synced: Option<Instant>,
}

/// What the committer's queue carries.
pub(crate) enum Message {
    Job(Box<dyn Job>),
    /// A checkpoint is done; only there to wake an idle committer.
    CheckpointDone,
    /// Units of another store's log.
    Apply(Box<Apply>),
    /// Begin a new term, after more promotions than these and than led here, and answer with it.
    Promote {
        past: u32,
        answer: SyncSender<Result<u64, Error>>,
    },
    /// Make a checkpoint now, and tell when it is published.
    Checkpoint(WantedCheckpoint),
    /// Write everything out and stop.
    Close,
}

/// A checkpoint that somebody waits for.
pub(crate) struct WantedCheckpoint {
    /// Whether the log is to begin a new segment first, so that nothing before it is kept.
    pub(crate) roll: bool,
    pub(crate) done: SyncSender<Result<(), Error>>,
}

/// A group is closed when it has this many units or this many bytes.
pub(crate) const GROUP_UNITS_MAX: usize = 1024;
const GROUP_BYTES_MAX: usize = 4 << 20;
/// A checkpoint is made after this much log, whatever is in memory, so that a start has little to replay.
const LOG_BYTES_REPLAYED_MAX: u64 = 128 << 20;

/// The committer's own things.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) control: Arc<Control>,
    pub(crate) log: Log,
    pub(crate) working: Working,
    pub(crate) queue: Receiver<Message>,
    pub(crate) checkpoints: SyncSender<checkpoint::Request>,
    pub(crate) checkpoints_done: Receiver<Result<checkpoint::Done, Error>>,
    /// The term of units that are run here.
    pub(crate) own_term: u64,
    /// The term of the group being made.
    pub(crate) group_term: u64,
    pub(crate) log_pinned_bytes_max: u64,
    pub(crate) write_memory_bytes: usize,
    pub(crate) on_fatal: OnFatal,
    /// States that readers may hold, oldest first.
    pub(crate) readers: VecDeque<(Lsn, Weak<State>)>,
    /// Freed pages that the engine has, with the LSN from which on no tree has them.
    pub(crate) freed_stored: Vec<(PageId, Lsn)>,
    /// Indexes whose trees the checkpoint that is being written has for the first time.
    pub(crate) adopted: Vec<(u32, u32)>,
    /// Pages below this were in the last checkpoint's reach.
    pub(crate) page_watermark: PageId,
    pub(crate) lsn_applied: Lsn,
    pub(crate) log_bytes_at_checkpoint: u64,
    pub(crate) checkpoint_running: bool,
    /// Writes are refused while less than this is free beside what the next checkpoint will write.
    pub(crate) disk_reserve_bytes: u64,
    pub(crate) space_checked_at: u64,
    /// The last unit of the group being made; the last one logged between groups.
    pub(crate) group_lsn: Lsn,
    pub(crate) effects: EffectWriter,
    pub(crate) group: Vec<u8>,
    /// What the units of the group noted, and how many keys they deleted that had expired.
    pub(crate) notes: Vec<Note>,
    pub(crate) keys_expired: u64,
    /// Who waits for a checkpoint that has not begun, and who for the one that is being written.
    pub(crate) wanted: Vec<WantedCheckpoint>,
    pub(crate) awaited: Vec<SyncSender<Result<(), Error>>>,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

impl Committer {
    /// Serves the queue until it is told to close or the store fails.
    pub(crate) fn run(mut self) {
        self.publish_sync_target();
        if let Err(error) = self.serve() {
            tracing::error!(%error, "the store has failed and takes no more writes");
            (self.on_fatal)(&error);
            // Whoever still asks is told; the queue closes when the handle sees the thread gone.
            while let Ok(message) = self.queue.try_recv() {
                match message {
                    Message::Job(job) => job.finished(Err(Error::LogFailed(error.to_string()))),
                    Message::Apply(apply) => apply.refuse(Error::LogFailed(error.to_string())),
                    _ => {}
                }
            }
        }
    }

    fn serve(&mut self) -> Result<(), Error> {
        loop {
            let Ok(message) = self.queue.recv() else { return self.close() };
            let mut jobs = Vec::new();
            let mut closing = false;
            let mut next = Some(message);
            while let Some(message) = next.take() {
                match message {
                    Message::Job(job) => {
                        self.change_term(self.own_term, &mut jobs)?;
                        self.run_job(job, false, &mut jobs)?;
                    }
                    Message::Apply(apply) => self.apply(*apply, &mut jobs)?,
                    // Whoever is gone does not wait for an answer.
                    Message::Promote { past, answer } => drop(answer.send(self.promote(past, &mut jobs)?)),
                    Message::CheckpointDone => {}
                    Message::Checkpoint(wanted) => self.wanted.push(wanted),
                    Message::Close => closing = true,
                }
                if jobs.len() < GROUP_UNITS_MAX && self.group.len() < GROUP_BYTES_MAX && !closing {
                    next = match self.queue.try_recv() {
                        Ok(message) => Some(message),
                        Err(TryRecvError::Empty) => None,
                        Err(TryRecvError::Disconnected) => {
                            closing = true;
                            None
                        }
                    };
                }
            }
            self.commit_group(jobs)?;
            self.collect_checkpoint(false)?;
            self.checkpoint_if_wanted()?;
            self.checkpoint_if_due()?;
            if closing {
                return self.close();
            }
        }
    }

    fn units_in_group(&self) -> u32 {
        (self.group_lsn - self.log.progress().lsn_written()) as u32
    }

    /// What comes next is of this term, of which no other may be in the same group.
    fn change_term(&mut self, term: u64, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), Error> {
        if self.group_term != term {
            if self.units_in_group() > 0 {
                self.commit_group(std::mem::take(jobs))?;
            }
            self.group_term = term;
        }
        Ok(())
    }

    /// `carried`: it has the units of another store's log.
    fn run_job(&mut self, mut job: Box<dyn Job>, carried: bool, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), Error> {
        let now_ms = now_ms();
        // Asked once: where it becomes a replica meanwhile all of the job came before that, and none is told otherwise.
        let read_only = !carried && self.shared.replica.load(Ordering::Acquire);
        for at in 0..job.units() {
            let lsn = self.group_lsn + 1;
            self.effects.clear();
            let mut transaction = Transaction::new(&self.shared, &mut self.working, lsn, now_ms, &mut self.effects);
            if job.run(at, &mut transaction) {
                let count = transaction.count();
                if count > 0 && read_only {
                    transaction.undo()?;
                    job.finished(Err(Error::ReadOnly));
                    return Ok(());
                }
                let (notes, keys_expired) = transaction.take_notes();
                self.notes.extend(notes);
                self.keys_expired += keys_expired;
                if count > 0 || carried {
                    append_unit(&mut self.group, count, &self.effects.bytes);
                    self.group_lsn = lsn;
                }
            } else {
                transaction.undo()?;
            }
            // A frame must not grow with what one client sends at once, nor memory.
            if self.group.len() >= GROUP_BYTES_MAX && at + 1 < job.units() {
                match self.commit_group(std::mem::take(jobs)) {
                    Ok(true) => job.kept(at + 1),
                    Ok(false) => {
                        job.finished(Err(Error::NoSpace));
                        return Ok(());
                    }
                    Err(error) => {
                        job.finished(Err(Error::LogFailed(error.to_string())));
                        return Err(error);
                    }
                }
                self.collect_checkpoint(false)?;
                self.checkpoint_if_due()?;
            }
        }
        if self.effects.bytes.capacity() > GROUP_BYTES_MAX {
            self.effects.bytes = Vec::new();
        }
        jobs.push(job);
        Ok(())
    }

    fn apply(&mut self, apply: Apply, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), Error> {
        if !self.shared.replica.load(Ordering::Acquire) {
            apply.refuse(Error::ReadOnly);
            return Ok(());
        }
        self.change_term(apply.term(), jobs)?;
        // What is in the group is of the same term by now.
        let logged = (&*self.working.terms, self.log.progress().lsn_written());
        match apply.into_job(self.group_lsn, logged, self.shared.feed.history_id()) {
            Some(job) => self.run_job(job, true, jobs),
            None => Ok(()),
        }
    }

    /// The term, or why there is none.
    fn promote(&mut self, past: u32, jobs: &mut Vec<Box<dyn Job>>) -> Result<Result<u64, Error>, Error> {
        let known = self.working.terms.iter().map(|start| promotions(start.term)).max().unwrap_or_default();
        let Some(next) = known.max(promotions(self.own_term)).max(past).checked_add(1) else {
            return Ok(Err(Error::Refused("there is no later term than the last one".to_owned())));
        };
        let term = next_term(next);
        self.change_term(term, jobs)?;
        append_unit(&mut self.group, 0, &[]);
        self.group_lsn += 1;
        if !self.commit_group(std::mem::take(jobs))? {
            return Ok(Err(Error::NoSpace));
        }
        self.log.sync()?;
        self.own_term = term;
        self.shared.replica.store(false, Ordering::Release);
        // Who waits looks again, and is answered as of a primary.
        self.shared.feed.synced();
        Ok(Ok(term))
    }

    /// Logs, syncs, publishes, answers. False: there was no space, and none of it took place.
    fn commit_group(&mut self, mut jobs: Vec<Box<dyn Job>>) -> Result<bool, Error> {
        let units = self.units_in_group();
        if units > 0 {
            self.log.set_term(self.group_term);
            let logged = self.append_group(units);
            self.group.clear();
            if self.group.capacity() > 2 * GROUP_BYTES_MAX {
                self.group = Vec::new();
            }
            match logged {
                Ok(logged) => {
                    jobs.iter_mut().for_each(|job| job.logged(&logged));
                    self.working.publish_due = false;
                    self.working.note_term(self.group_term, self.group_lsn + 1 - u64::from(units));
                    self.forget_names_if_many();
                    self.publish();
                    self.shared.feed.advance(self.group_lsn);
                }
                Err(AppendError::NoSpace) => {
                    self.notes.clear();
                    self.keys_expired = 0;
                    let state = Arc::clone(&self.shared.state.read());
                    self.working.roll_back(&state);
                    self.group_lsn = state.lsn;
                    self.control.groups_refused.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!("no space left for the log; the group was refused");
                    for job in jobs {
                        job.finished(Err(Error::NoSpace));
                    }
                    return Ok(false);
                }
                Err(AppendError::Fatal(error)) => {
                    for job in jobs {
                        job.finished(Err(Error::LogFailed(error.to_string())));
                    }
                    return Err(error);
                }
            }
            let keys_expired = std::mem::take(&mut self.keys_expired);
            self.control.keys_expired.fetch_add(keys_expired, Ordering::Relaxed);
            self.control.groups.fetch_add(1, Ordering::Relaxed);
            self.control.units.fetch_add(u64::from(units), Ordering::Relaxed);
            self.control.group_units.lock().note(u64::from(units));
            self.shared.pace.note(u64::from(units));
            self.control.log_bytes.store(self.log.bytes_written(), Ordering::Relaxed);
            self.control.recent_bytes.store(self.working.recent_bytes as u64, Ordering::Relaxed);
            self.control.dirty_bytes.store(self.working.dirty_bytes as u64, Ordering::Relaxed);
        } else if std::mem::take(&mut self.working.publish_due) {
            self.publish();
        }
        if !self.working.builds.is_empty() {
            self.shared.builds.notify();
        }
        if !self.notes.is_empty()
            && let Some(listener) = self.shared.notes.listener.get()
        {
            listener(std::mem::take(&mut self.notes));
        }
        self.notes.clear();
        for job in jobs {
            job.finished(Ok(()));
        }
        Ok(true)
    }

    fn append_group(&mut self, units: u32) -> Result<Logged, AppendError> {
        self.check_space()?;
        let began = Instant::now();
        {
            // The background sync must not take an LSN of the new segment for one of the old.
            let control = Arc::clone(&self.control);
            let mut target = control.sync_target.lock();
            self.append_to_log(units)?;
            if target.as_ref().is_none_or(|(_, path)| path != self.log.current_segment()) {
                let (file, path, _) = self.log.sync_handle();
                *target = Some((file, path));
            }
        }
        let written = Instant::now();
        let waits = self.control.fsync() == FsyncPolicy::Always;
        if waits {
            self.log.sync().map_err(AppendError::Fatal)?;
        }
        Ok(Logged { units, began, written, synced: waits.then(Instant::now) })
    }

    fn publish_sync_target(&self) {
        let (file, path, _) = self.log.sync_handle();
        *self.control.sync_target.lock() = Some((file, path));
    }

    /// Makes the working state what readers see.
    fn publish(&mut self) {
        let last = Arc::clone(&self.shared.state.read());
        let state = Arc::new(self.working.publish(&last, self.group_lsn, self.shared.pager.watermark()));
        self.readers.push_back((state.lsn, Arc::downgrade(&state)));
        *self.shared.state.write() = Arc::clone(&state);
        self.shared.notes.published(&state);
        drop((state, last));
        while self.readers.len() > 1 && self.readers.front().is_some_and(|(_, state)| state.strong_count() == 0) {
            self.readers.pop_front();
        }
        self.working.lsn_oldest_reader = self.readers.front().map_or(self.group_lsn, |(lsn, _)| *lsn);
    }

    fn checkpoint_if_wanted(&mut self) -> Result<(), Error> {
        // While one is being written nobody who writes has to wait: its end brings this about again.
        if self.wanted.is_empty() || self.checkpoint_running {
            return Ok(());
        }
        let wanted = std::mem::take(&mut self.wanted);
        let roll = wanted.iter().any(|wanted| wanted.roll);
        if roll {
            // The background sync must not sync the old segment for what goes to the new one.
            let mut target = self.control.sync_target.lock();
            match self.log.roll() {
                Ok(()) => {
                    let (file, path, _) = self.log.sync_handle();
                    *target = Some((file, path));
                }
                Err(AppendError::NoSpace) => {
                    // Whoever is gone does not wait for an answer.
                    wanted.into_iter().for_each(|wanted| drop(wanted.done.send(Err(Error::NoSpace))));
                    return Ok(());
                }
                Err(AppendError::Fatal(error)) => return Err(error),
            }
        }
        self.awaited.extend(wanted.into_iter().map(|wanted| wanted.done));
        self.begin_checkpoint(roll)
    }

    fn checkpoint_if_due(&mut self) -> Result<(), Error> {
        let memory = self.working.sources.active.bytes() + self.working.recent_bytes;
        // Dirty pages cannot leave memory, so they may take half of the index budget at most.
        let dirty = self.working.dirty_bytes > self.shared.pager.budget_bytes() / 2;
        let replay = self.log.bytes_written() - self.log_bytes_at_checkpoint > LOG_BYTES_REPLAYED_MAX;
        // An index is in use only once a checkpoint has it.
        let adopted = !self.working.adopted.is_empty();
        if memory <= self.write_memory_bytes && !dirty && !replay && !adopted {
            return Ok(());
        }
        // Another one is being written. Let the tables grow to their bound; then wait.
        if self.checkpoint_running && memory <= 2 * self.write_memory_bytes && !dirty {
            return Ok(());
        }
        self.collect_checkpoint(true)?;
        if self.wanted.is_empty() { self.begin_checkpoint(false) } else { self.checkpoint_if_wanted() }
    }

    fn begin_checkpoint(&mut self, roll: bool) -> Result<(), Error> {
        self.working.sources.frozen =
            Some(std::mem::replace(&mut self.working.sources.active, Arc::new(Memtable::default())));
        self.working.dirty_bytes = 0;
        self.control.dirty_bytes.store(0, Ordering::Relaxed);
        self.forget_names();
        self.control.frozen_bytes.store(self.working.recent_bytes as u64, Ordering::Relaxed);
        self.control.recent_bytes.store(0, Ordering::Relaxed);
        self.working.freeze_recent();
        // In this checkpoint: what it says is nobody's must not be theirs.
        self.shared.builds.forget_adopted();
        self.publish();
        let state = Arc::clone(&self.shared.state.read());
        // What was made after the last checkpoint and freed since was never stored.
        let watermark = self.page_watermark;
        let stored = self.working.freed.drain(..).filter(|freed| freed.stored || freed.page < watermark);
        self.freed_stored.extend(stored.map(|freed| (freed.page, freed.lsn)));
        // Pages of builds that came to nothing: no tree ever had them.
        self.freed_stored.extend(self.shared.builds.take_abandoned().into_iter().map(|page| (page, 0)));
        self.adopted = std::mem::take(&mut self.working.adopted);
        // The last checkpoint, too, is a reader: a crash brings it back.
        let oldest = self.working.lsn_oldest_reader.min(self.lsn_applied);
        let (now, later) = self.freed_stored.drain(..).partition::<Vec<_>, _>(|(_, lsn)| *lsn <= oldest);
        let request = checkpoint::Request {
            state,
            log: self.log.sync_handle(),
            progress: self.log.progress(),
            freed_now: now.into_iter().map(|(page, _)| page).collect(),
            freed_later: later.iter().map(|(page, _)| *page).collect(),
            dropped: std::mem::take(&mut self.working.dropped),
            roll,
            lsn_applied: self.lsn_applied,
            log_pinned_bytes_max: self.log_pinned_bytes_max,
            disk_reserve_bytes: self.disk_reserve_bytes,
            generation: self.working.sources.generation + 1,
        };
        self.freed_stored = later;
        self.log_bytes_at_checkpoint = self.log.bytes_written();
        self.checkpoint_running = true;
        self.checkpoints.send(request).map_err(|_| Error::Engine("the checkpoint thread is gone".into()))
    }

    /// Takes note of a finished checkpoint; `wait` for it if one is running.
    fn collect_checkpoint(&mut self, wait: bool) -> Result<(), Error> {
        if !self.checkpoint_running {
            return Ok(());
        }
        let gone = || Error::Engine("the checkpoint thread is gone".into());
        let outcome = if wait {
            self.checkpoints_done.recv().map_err(|_| gone())?
        } else {
            match self.checkpoints_done.try_recv() {
                Ok(outcome) => outcome,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        };
        let done = outcome?;
        self.checkpoint_running = false;
        self.working.sources.frozen = None;
        self.control.frozen_bytes.store(0, Ordering::Relaxed);
        self.working.sources.snapshot = done.snapshot;
        self.working.sources.generation = done.generation;
        // Readers of states up to now may have the trees without what was frozen, and so the pages that it replaced.
        let lsn_replaced = self.group_lsn + 1;
        self.working.take_trees(done.trees, self.group_lsn);
        self.freed_stored.extend(done.replaced.into_iter().map(|page| (page, lsn_replaced)));
        self.freed_stored.extend(done.freed);
        self.page_watermark = done.page_watermark;
        self.lsn_applied = done.lsn;
        self.control.lsn_applied.store(done.lsn, Ordering::Relaxed);
        self.control.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.control.checkpoints_us.lock().note(done.took_us);
        self.control.checkpointed_ms.store(now_ms(), Ordering::Relaxed);
        for (collection, id) in std::mem::take(&mut self.adopted) {
            // It may be gone by now, with its collection or alone.
            if let Ok(state) = self.working.touch(collection, 0)
                && let Some(index) = state.index_mut(id)
                && index.phase == Phase::Adopted
            {
                index.phase = Phase::Ready;
            }
        }
        self.publish();
        self.shared.builds.notify();
        self.awaited.drain(..).for_each(|done| drop(done.send(Ok(()))));
        Ok(())
    }

    /// Leaves the store so that the next start has nothing to replay.
    fn close(&mut self) -> Result<(), Error> {
        self.log.sync()?;
        self.collect_checkpoint(true)?;
        if self.lsn_applied < self.group_lsn || !self.working.adopted.is_empty() {
            self.begin_checkpoint(false)?;
            self.collect_checkpoint(true)?;
        }
        Ok(())
    }
}
