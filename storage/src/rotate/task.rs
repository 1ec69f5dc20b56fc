//! The thread that brings records from one key to another.
//!
//! What it does in which order, and why that is enough, is said in `docs/decisions/0016-rotation.md`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::progress::{self, Progress, Step};
use super::{DataKeys, KeyCounts, count_snapshot};
use crate::commit::{Message, WantedCheckpoint};
use crate::kv::{Batch, Space};
use crate::pace::{READING, WRITING};
use crate::seal::{Rotation, key_id};
use crate::shared::Shared;
use crate::{Error, checkpoint, log};

/// After so many records it looks whether it is to give way.
const LOOK_EVERY: u64 = 16;
/// Records re-sealed at a time: while it is done no checkpoint can write.
const BATCH_RECORDS: u64 = 20_000;
const BATCH_BYTES: usize = 8 << 20;
/// So many times as much while no client does anything. Every batch is synced, and waits for the engine's compactions to let
/// go of its tables: with small ones that is half the time (of a million documents, on two processors).
const ALONE: u32 = 3;
/// How often it is asked again whether something that is waited for has come.
const POLL: Duration = Duration::from_millis(20);
/// How often the log says how far it is.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// After so many bytes a checkpoint is made: what is published has the last one's moment of the engine, and as long as that
/// is there the engine keeps all that was superseded since, through each of its compactions.
const CHECKPOINT_BYTES: u64 = 32 << 20;
/// What a pass does not reach another one will not either.
const PASSES_MAX: u32 = 3;
/// Over how long the rate is measured, and the first time.
const RATE_INTERVAL: Duration = Duration::from_secs(2);
const RATE_FIRST: Duration = Duration::from_millis(500);

/// What the thread works with.
pub(crate) struct Rotator {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: SyncSender<Message>,
    pub(crate) closing: Arc<AtomicBool>,
    /// So much of the disk is left to others.
    pub(crate) disk_reserve_bytes: u64,
    /// How far the last process came.
    pub(crate) progress: Option<Progress>,
    /// Milliseconds since 1970.
    pub(crate) now_ms: fn() -> u64,
}

/// Why a rotation does not go on.
enum Stop {
    /// It was paused or turned round, or the store closes.
    Over,
    /// It cannot.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        // The committer is gone, and with it the store.
        if matches!(error, Error::ShuttingDown) { Stop::Over } else { Stop::Error(error) }
    }
}

impl Rotator {
    /// Works whenever there is a rotation that is to go on, until the store closes.
    pub(crate) fn run(mut self) {
        let keys = Arc::clone(&self.shared.data_keys);
        let mut progress = self.progress.take();
        if !keys.rotation().is_open() {
            // The last process ended right after a rotation did. Where it cannot be taken away it is in nobody's way.
            let _ = std::fs::remove_file(progress::file(&keys.dir));
        }
        while let Some((turn, rotation)) = keys.next_work(&self.closing) {
            let known = progress.take().filter(|progress| progress.is_of(&rotation));
            if let Some(known) = &known {
                tracing::info!(from = rotation.from, to = rotation.to, done = known.done, "rotation: goes on");
            }
            let mut task = Task {
                rotator: &self,
                keys: &keys,
                path: progress::file(&keys.dir),
                progress: known.unwrap_or_else(|| Progress::new(&rotation)),
                rotation,
                turn,
                measured: (Instant::now(), 0),
                reported: Instant::now(),
                unreleased: 0,
                alone: false,
                passes: 0,
            };
            // Until then compactions are those of clients' writes.
            let _working = self.shared.pace.work();
            // What it leaves is what a crash would, so that it may go on.
            let outcome = catch_unwind(AssertUnwindSafe(|| task.run()))
                .unwrap_or_else(|_| Err(Stop::Error(Error::Engine("the rotation panicked".to_owned()))));
            progress = Some(task.progress);
            if let Err(Stop::Error(error)) = &outcome {
                keys.fail(turn, error);
            }
            keys.figures.lock().rate = 0.0;
        }
    }
}

/// A rotation from one change of the keyring to the next.
struct Task<'a> {
    rotator: &'a Rotator,
    keys: &'a DataKeys,
    path: PathBuf,
    rotation: Rotation,
    turn: u64,
    progress: Progress,
    /// When the rate was measured last, and how many records were passed since.
    measured: (Instant, u64),
    reported: Instant,
    /// Bytes re-sealed since the last checkpoint.
    unreleased: u64,
    /// Nobody was waited for in the batch before.
    alone: bool,
    /// How often it was looked whether anything is left, and something was.
    passes: u32,
}

impl<'a> Task<'a> {
    fn run(&mut self) -> Result<(), Stop> {
        loop {
            self.progress.save(&self.path, &self.keys.sealer)?;
            self.progress.show(&mut self.keys.figures.lock());
            self.pause(Duration::ZERO)?;
            match self.progress.step {
                Step::Count => self.count()?,
                Step::Documents => self.batch(Space::Documents, Step::Pages)?,
                Step::Pages => self.batch(Space::Pages, Step::Finish)?,
                Step::Finish => {
                    if self.finish()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits, unless the turn is over.
    fn pause(&self, time: Duration) -> Result<(), Stop> {
        if self.keys.wait(self.turn, &self.rotator.closing, time) { Ok(()) } else { Err(Stop::Over) }
    }

    /// How it waits for clients: until the time is over, or the turn is.
    fn patience(&self) -> impl Fn(Duration) -> Result<(), Error> + use<'a> {
        let (keys, turn, rotator) = (self.keys, self.turn, self.rotator);
        move |time| if keys.wait(turn, &rotator.closing, time) { Ok(()) } else { Err(Error::ShuttingDown) }
    }

    /// Waits until there is none of these, and says so meanwhile.
    fn wait_out(&self, what: &str, mut left: impl FnMut() -> Result<usize, Error>) -> Result<(), Stop> {
        let mut began = None;
        loop {
            let count = left()?;
            if count == 0 {
                return Ok(());
            }
            self.keys.figures.lock().step = format!("waits for {count} {what}");
            let began = began.get_or_insert_with(Instant::now);
            if began.elapsed() > REPORT_INTERVAL {
                tracing::info!(count, "rotation: waits for {what}");
                *began = Instant::now();
            }
            self.pause(POLL)?;
        }
    }

    fn count(&mut self) -> Result<(), Stop> {
        // What is in memory goes to the engine now, under the new key; and what of the log can go, goes.
        self.checkpoint(true)?;
        self.keys.figures.lock().step = "count".to_owned();
        let snapshot = self.rotator.shared.engine.snapshot();
        let (patience, mut turns) = (self.patience(), self.rotator.shared.pace.turns());
        let counts = count_snapshot(&*snapshot, || turns.give_way(READING, &patience))?;
        self.progress.total = counts.values().sum();
        self.progress.records = counts;
        self.progress.done = 0;
        self.progress.advance(Step::Documents, &[]);
        // Counting is no part of the rate.
        self.measured = (Instant::now(), 0);
        Ok(())
    }

    /// Brings a batch to the new key.
    fn batch(&mut self, space: Space, then: Step) -> Result<(), Stop> {
        let (records_most, bytes_max) = if self.alone {
            (BATCH_RECORDS * u64::from(ALONE), BATCH_BYTES * ALONE as usize)
        } else {
            (BATCH_RECORDS, BATCH_BYTES)
        };
        self.need_space(2 * bytes_max as u64)?;
        let began = Instant::now();
        let rate = self.rotation.rate;
        // A slow rate in small steps, so that it is one.
        let records_max = if rate == 0 { records_most } else { rate.div_ceil(10).clamp(1, BATCH_RECORDS) };
        let batch = Batch { records_max, bytes_max };
        let (sealer, to) = (&self.keys.sealer, self.rotation.to);
        let (patience, mut turns, mut seen) = (self.patience(), self.rotator.shared.pace.turns(), 0_u64);
        let mut renew = |key: &[u8], sealed: &[u8]| {
            if seen == 0 {
                // Until now it waited for the lock.
                turns.restart();
            }
            seen += 1;
            if seen.is_multiple_of(LOOK_EVERY) {
                turns.give_way(WRITING, &patience)?;
            }
            if key_id(sealed) == Some(to) {
                return Ok(None);
            }
            let (purpose, context) = checkpoint::place(space, key);
            let plain = sealer.open(purpose, context, sealed).map_err(|error| Error::Damaged {
                path: self.keys.dir.join("kv"),
                at: format!("{space:?} {}", hex::encode(key)),
                what: error.to_string(),
            })?;
            let mut fresh = Vec::with_capacity(sealed.len());
            sealer.seal(purpose, context, &plain, &mut fresh);
            Ok(Some(Bytes::from(fresh)))
        };
        let renewed = self.rotator.shared.engine.renew(space, &self.progress.after(), batch, &mut renew)?;
        self.progress.passed(renewed.seen, renewed.renewed);
        match &renewed.next {
            Some(next) => self.progress.advance(self.progress.step, next),
            None => self.progress.advance(then, &[]),
        }
        self.measure(renewed.seen);
        turns.give_way(WRITING, self.patience())?;
        self.alone = !turns.has_waited();
        self.unreleased += renewed.bytes;
        if self.unreleased > CHECKPOINT_BYTES {
            self.progress.save(&self.path, sealer)?;
            self.checkpoint(false)?;
            self.unreleased = 0;
        }
        if rate > 0 {
            let seconds = renewed.renewed as f64 / rate as f64;
            // What is done is noted before it is waited for.
            self.progress.save(&self.path, sealer)?;
            self.progress.show(&mut self.keys.figures.lock());
            self.pause(Duration::from_secs_f64(seconds).saturating_sub(began.elapsed()))?;
        }
        Ok(())
    }

    fn measure(&mut self, seen: u64) {
        let (since, count) = (&self.measured.0, self.measured.1 + seen);
        self.measured.1 = count;
        let elapsed = since.elapsed();
        let mut figures = self.keys.figures.lock();
        if elapsed > RATE_INTERVAL || figures.rate == 0.0 && elapsed > RATE_FIRST {
            figures.rate = count as f64 / elapsed.as_secs_f64();
        }
        if elapsed > RATE_INTERVAL {
            self.measured = (Instant::now(), 0);
        }
        if self.reported.elapsed() > REPORT_INTERVAL {
            let Progress { done, total, .. } = self.progress;
            tracing::info!(done, total, rate = figures.rate as u64, "rotation: re-seals");
            self.reported = Instant::now();
        }
    }

    /// Lets go of everything that may be under the old key, looks whether that is so, and erases the key. False: something
    /// was found, and the pass begins again.
    fn finish(&mut self) -> Result<bool, Stop> {
        let (shared, from) = (&self.rotator.shared, self.rotation.from);
        self.checkpoint(true)?;
        self.let_readers_go()?;
        self.reseal_log()?;
        // Who began to read before may still be in a file that is under the old key.
        let (lsn, reading) = (shared.state.read().lsn, shared.feed.last_reading());
        self.wait_out("replicas that read the log", || Ok(shared.feed.behind(lsn)))?;
        self.wait_out("readers of the log", || Ok(shared.feed.readings_until(reading)))?;
        self.need_space(shared.engine.disk_space())?;
        self.keys.figures.lock().step = "compact".to_owned();
        shared.engine.compact()?;
        self.checkpoint(false)?;
        self.let_readers_go()?;
        // Those that come later are made of what is there now.
        let superseded = shared.engine.release()?;
        self.wait_out("superseded tables of the engine", || {
            Ok(shared.engine.release()?.intersection(&superseded).count())
        })?;
        self.wait_out("temporary files", || Ok(self.keys.sealer.own_keys(from)))?;
        self.keys.figures.lock().step = "audit".to_owned();
        shared.audit.reseal()?;
        self.keys.figures.lock().step = "verify".to_owned();
        let counts = self.count_stored()?;
        let left = counts.get(&from).copied().unwrap_or_default();
        self.progress.records = counts;
        if left > 0 {
            self.passes += 1;
            if self.passes == PASSES_MAX {
                let what = format!("{left} records are still under key {from} after {PASSES_MAX} passes");
                return Err(Error::Engine(what).into());
            }
            tracing::warn!(left, from, "rotation: records are still under the old key; the pass begins again");
            self.progress.advance(Step::Count, &[]);
            return Ok(false);
        }
        if !self.keys.complete(self.turn, (self.rotator.now_ms)())? {
            return Err(Stop::Over);
        }
        let mut figures = self.keys.figures.lock();
        figures.step.clear();
        figures.records.clone_from(&self.progress.records);
        figures.done = figures.total;
        drop(figures);
        // It is of no rotation any more; a start without one takes it away as well.
        let _ = std::fs::remove_file(&self.path);
        Ok(true)
    }

    /// Brings what is kept of the log to the new key: all but the segment that began with the last checkpoint.
    fn reseal_log(&self) -> Result<(), Stop> {
        let shared = &self.rotator.shared;
        self.keys.figures.lock().step = "log".to_owned();
        self.need_space(log::largest_segment(&shared.log_dir)?)?;
        let (patience, mut turns) = (self.patience(), shared.pace.turns());
        let (identity, files) = (shared.feed.identity(), shared.feed.files());
        // What a start would begin with, so that it is known what it would not read.
        let lsn = checkpoint::read(&shared.checkpoint_path, &shared.sealer)?.map_or(0, |checkpoint| checkpoint.lsn);
        let done = log::reseal(&shared.log_dir, identity, lsn, files, &mut || turns.give_way(WRITING, &patience))?;
        if done.deleted > 0 {
            let _files = files.lock();
            shared.feed.trimmed(log::first_lsn(&shared.log_dir)?);
        }
        tracing::debug!(segments = done.segments, "rotation: what is kept of the log is under the new key");
        Ok(())
    }

    /// Has a checkpoint made and waits until it is published.
    fn checkpoint(&self, roll: bool) -> Result<(), Stop> {
        self.keys.figures.lock().step = "checkpoint".to_owned();
        let (done, answer) = sync_channel(1);
        let message = Message::Checkpoint(WantedCheckpoint { roll, done });
        self.rotator.queue.send(message).map_err(|_| Error::ShuttingDown)?;
        answer.recv().map_err(|_| Error::ShuttingDown)??;
        Ok(())
    }

    /// Waits until nobody has a moment of the engine from before the last checkpoint.
    fn let_readers_go(&self) -> Result<(), Stop> {
        let shared = &self.rotator.shared;
        let moment = shared.state.read().sources.snapshot.moment();
        self.wait_out("readers of older moments", || {
            Ok(usize::from(shared.engine.oldest_moment().is_some_and(|oldest| oldest < moment)))
        })
    }

    /// Everything in the directory that has a key's number in its header.
    fn count_stored(&self) -> Result<KeyCounts, Stop> {
        let shared = &self.rotator.shared;
        let mut counts = KeyCounts::new();
        let mut count = |id: Option<u32>| *counts.entry(id.unwrap_or_default()).or_default() += 1;
        let (patience, mut turns, mut read) = (self.patience(), shared.pace.turns(), 0_u64);
        for space in Space::ALL {
            shared.engine.all_stored(space, &mut |sealed| {
                count(key_id(sealed));
                read += 1;
                if read.is_multiple_of(LOOK_EVERY) { turns.give_way(READING, &patience) } else { Ok(()) }
            })?;
            self.pause(Duration::ZERO)?;
        }
        log::count_keys(&shared.log_dir, &mut |id| count(Some(id)))?;
        shared.audit.count_keys(&mut |id| count(Some(id)))?;
        for path in [&shared.checkpoint_path, &self.path] {
            let sealed = std::fs::read(path).map_err(|e| crate::error::io(path, e))?;
            count(key_id(&sealed));
        }
        Ok(counts)
    }

    /// Leaves as much room as others were promised.
    fn need_space(&self, bytes: u64) -> Result<(), Stop> {
        let reserve = self.rotator.disk_reserve_bytes;
        // A file system that cannot say how full it is will say so when it is full.
        let free = rustix::fs::statvfs(&self.rotator.shared.log_dir).map_or(u64::MAX, |s| s.f_bavail * s.f_frsize);
        if reserve > 0 && free < reserve.saturating_add(bytes) { Err(Error::NoSpace.into()) } else { Ok(()) }
    }
}
