//! The data keys of an open store: what is asked of them, and the state of a rotation.
//!
//! Owns the keyring while the store is open. Each change is on disk before it is in use. Re-sealing itself is
//! [`task`]'s, which looks here for work.

mod progress;
mod task;

pub(crate) use progress::{Progress, file as progress_file};
pub(crate) use task::Rotator;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::Error;
use crate::kv::{Moment, Snapshot, Space};
use crate::seal::{
    KeyInfo, Keyring, MasterKey, MasterKeySource, Origin, Phase, Rotation, Sealer, Wrapping, key_id, named_file,
    resolve,
};
use crate::view::View;

/// How many records are under which key.
pub type KeyCounts = BTreeMap<u32, u64>;

/// The keys of an open store.
#[derive(Debug)]
pub struct DataKeys {
    dir: PathBuf,
    sealer: Sealer,
    ring: Mutex<Ring>,
    /// Told of every change of the ring, and of the store's end.
    changed: Condvar,
    figures: Mutex<Figures>,
}

#[derive(Debug)]
struct Ring {
    keyring: Keyring,
    wrapping: Wrapping,
    source: MasterKeySource,
    origin: Origin,
    /// Raised with every change, so that whoever works on one knows that it is over.
    turn: u64,
}

/// What is measured of a rotation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// What it does: `count`, `documents`, `pages`, `compact`, or what it waits for.
    pub step: String,
    /// Records that it has passed, of `total`.
    pub done: u64,
    /// Records to pass, as counted when it began; 0 before.
    pub total: u64,
    /// Records a second, over the last seconds.
    pub rate: f64,
    /// Records by key, as counted when it began and changed since.
    pub records: KeyCounts,
    /// What was counted last, where no rotation is open, and when.
    counted: Option<(Moment, KeyCounts)>,
}

/// The keys and the rotation at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyStatus {
    /// The rotation that is open, or the last one.
    pub rotation: Rotation,
    /// The active key first.
    pub keys: Vec<KeyInfo>,
    /// What is measured of the rotation; of none, the last count of records.
    pub figures: Figures,
}

impl KeyStatus {
    /// How much is done, of 100.
    pub fn percent(&self) -> f64 {
        match (self.rotation.phase, self.figures.total) {
            (Phase::Completed, _) => 100.0,
            (Phase::Idle, _) | (_, 0) => 0.0,
            // What was written meanwhile is not in the total.
            (_, total) => (self.figures.done as f64 / total as f64 * 100.0).min(99.9),
        }
    }

    /// How long it still takes at the present rate, seconds; none when that cannot be said.
    pub fn eta_s(&self) -> Option<u64> {
        let going = self.rotation.phase == Phase::ReEncrypting && !self.rotation.paused && self.figures.rate > 0.0;
        going.then(|| (self.figures.total.saturating_sub(self.figures.done) as f64 / self.figures.rate).ceil() as u64)
    }
}

impl DataKeys {
    pub(crate) fn new(
        dir: &Path,
        sealer: Sealer,
        keyring: Keyring,
        master: &MasterKey,
        (source, origin): (MasterKeySource, Origin),
    ) -> DataKeys {
        let wrapping = Wrapping::new(master, &keyring.database_id());
        DataKeys {
            dir: dir.to_path_buf(),
            sealer,
            ring: Mutex::new(Ring { keyring, wrapping, source, origin, turn: 0 }),
            changed: Condvar::new(),
            figures: Mutex::default(),
        }
    }

    /// Where the master key is.
    pub fn origin(&self) -> Origin {
        self.ring.lock().origin.clone()
    }

    /// Where the next start has to look for the master key.
    pub fn source(&self) -> MasterKeySource {
        self.ring.lock().source.clone()
    }

    /// The keys and the rotation as they are now.
    pub fn status(&self) -> KeyStatus {
        let ring = self.ring.lock();
        let (rotation, keys) = (ring.keyring.rotation().clone(), ring.keyring.keys().collect());
        let figures = self.figures.lock().clone();
        KeyStatus { rotation, keys, figures }
    }

    /// The rotation that is open, or the last one.
    pub fn rotation(&self) -> Rotation {
        self.ring.lock().keyring.rotation().clone()
    }

    /// How many records are under which key. Where no rotation is open they are read for it, unless nothing was written
    /// since.
    pub fn count<E: From<Error>>(&self, view: &View, check: impl FnMut() -> Result<(), E>) -> Result<KeyCounts, E> {
        if self.rotation().is_open() {
            return Ok(self.figures.lock().records.clone());
        }
        let snapshot = &view.state.sources.snapshot;
        if let Some((moment, counts)) = &self.figures.lock().counted
            && *moment == snapshot.moment()
        {
            return Ok(counts.clone());
        }
        let counts = count_snapshot(&**snapshot, check)?;
        self.figures.lock().counted = Some((snapshot.moment(), counts.clone()));
        Ok(counts)
    }

    /// What was counted last, of whatever moment.
    pub fn last_count(&self) -> KeyCounts {
        let figures = self.figures.lock();
        let open = figures.records.clone();
        figures.counted.as_ref().map_or(open, |(_, counts)| counts.clone())
    }

    /// Makes a new data key, under which everything is sealed from now on, and begins to bring the records to it; at most
    /// `rate` a second (0: as many as can be). Answers the new key's number.
    ///
    /// # Errors
    /// `Busy` while a rotation is open; `Refused` when the master key is gone from where it was.
    pub fn rotate(&self, now_ms: u64, rate: u64) -> Result<u32, Error> {
        let mut ring = self.ring.lock();
        let rotation = ring.keyring.rotation();
        let Some(next) = ring.keyring.begun(now_ms, rate) else {
            let (from, to) = (rotation.from, rotation.to);
            let phase = if rotation.phase == Phase::Failed { "has failed: resume or cancel it" } else { "is open" };
            return Err(Error::Busy(format!("a rotation from key {from} to key {to} {phase}")));
        };
        self.check_master(&ring)?;
        self.change(&mut ring, next)?;
        let rotation = ring.keyring.rotation();
        tracing::info!(
            from = rotation.from,
            to = rotation.to,
            rate,
            "rotation: begins; new records are under the new key"
        );
        Ok(rotation.to)
    }

    /// Has the rotation wait. It stays so over a restart.
    pub fn pause(&self) -> Result<(), Error> {
        let mut ring = self.ring.lock();
        if ring.keyring.rotation().phase != Phase::ReEncrypting {
            return Err(none_to("pause"));
        }
        let next = ring.keyring.paused(true);
        self.change(&mut ring, next)
    }

    /// Has a rotation go on that waits or has failed.
    pub fn resume(&self) -> Result<(), Error> {
        let mut ring = self.ring.lock();
        let rotation = ring.keyring.rotation();
        if !rotation.is_open() || (rotation.phase == Phase::ReEncrypting && !rotation.paused) {
            return Err(none_to("resume"));
        }
        let next = ring.keyring.resumed();
        self.change(&mut ring, next)
    }

    /// Has all records brought back to the key that was left. Answers its number.
    pub fn cancel(&self) -> Result<u32, Error> {
        let mut ring = self.ring.lock();
        let Some(next) = ring.keyring.turned() else {
            let rotation = ring.keyring.rotation();
            return Err(match rotation.is_open() {
                true => Error::Busy(format!(
                    "the rotation is cancelled already: all records come under key {}",
                    rotation.to
                )),
                false => none_to("cancel"),
            });
        };
        self.change(&mut ring, next)?;
        let to = ring.keyring.rotation().to;
        tracing::info!(to, "rotation: cancelled; all records come under the key that it began with");
        Ok(to)
    }

    /// Wraps the data keys under the master key in this file, which is made when there is none. No record is touched.
    pub fn rotate_master(&self, path: &Path) -> Result<(), Error> {
        let path = std::path::absolute(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let folder = path.parent().map(real).unwrap_or_default();
        if folder.starts_with(real(&self.dir)) {
            let what = "in the data directory, where every copy of the data would carry it";
            return Err(Error::Refused(format!("{}: {what}", path.display())));
        }
        let mut ring = self.ring.lock();
        let (master, made) = named_file(&path)?;
        let wrapping = Wrapping::new(&master, &ring.keyring.database_id());
        if wrapping.is_of_the_key_of(&ring.wrapping) {
            return Err(Error::Refused(format!("{}: this is the master key already", path.display())));
        }
        if let Err(error) = ring.keyring.save(&self.dir, &wrapping) {
            if made {
                // The first error is the one to report; what is left behind opens nothing.
                let _ = std::fs::remove_file(&path);
            }
            return Err(error);
        }
        ring.wrapping = wrapping;
        ring.source = MasterKeySource::File(path.clone());
        ring.origin = if made { Origin::Created(path.clone()) } else { Origin::File(path.clone()) };
        tracing::warn!(file = %path.display(), made, "the master key is another one; the next start needs master-key-file to name it, as CONFIG REWRITE writes");
        Ok(())
    }

    /// Fails where the master key is no longer where it was found: nobody could open the next keyring.
    fn check_master(&self, ring: &Ring) -> Result<(), Error> {
        let (master, origin) = resolve(&ring.source, &self.dir, true)?;
        if Wrapping::new(&master, &ring.keyring.database_id()).is_of_the_key_of(&ring.wrapping) {
            return Ok(());
        }
        Err(Error::Refused(format!("{origin}: this is no longer the master key that the keyring is sealed with")))
    }

    /// Puts a keyring on disk, then into use.
    fn change(&self, ring: &mut Ring, next: Keyring) -> Result<(), Error> {
        next.save(&self.dir, &ring.wrapping)?;
        self.sealer.change(&next);
        ring.keyring = next;
        ring.turn += 1;
        self.changed.notify_all();
        Ok(())
    }

    /// Wakes whoever waits for a change: the store closes.
    pub(crate) fn wake(&self) {
        // Taken so that nobody is between asking and waiting.
        let _ring = self.ring.lock();
        self.changed.notify_all();
    }

    /// Waits for a rotation that is to go on: its turn, and what it is. None: the store closes.
    fn next_work(&self, closing: &AtomicBool) -> Option<(u64, Rotation)> {
        let mut ring = self.ring.lock();
        loop {
            if closing.load(Ordering::Acquire) {
                return None;
            }
            let rotation = ring.keyring.rotation();
            if rotation.phase == Phase::ReEncrypting && !rotation.paused {
                return Some((ring.turn, rotation.clone()));
            }
            self.changed.wait(&mut ring);
        }
    }

    /// Waits; false when the turn is over before the time is.
    fn wait(&self, turn: u64, closing: &AtomicBool, time: Duration) -> bool {
        let mut ring = self.ring.lock();
        let until = std::time::Instant::now() + time;
        loop {
            if ring.turn != turn || closing.load(Ordering::Acquire) {
                return false;
            }
            if self.changed.wait_until(&mut ring, until).timed_out() {
                return true;
            }
        }
    }

    fn in_turn(&self, turn: u64) -> Option<MutexGuard<'_, Ring>> {
        Some(self.ring.lock()).filter(|ring| ring.turn == turn)
    }

    /// Notes that the rotation of this turn cannot go on.
    fn fail(&self, turn: u64, error: &Error) {
        let Some(mut ring) = self.in_turn(turn) else { return };
        let next = ring.keyring.failed(error.to_string());
        tracing::error!(%error, "rotation: failed; both keys are kept until it is resumed or cancelled");
        if let Err(error) = self.change(&mut ring, next.clone()) {
            tracing::error!(%error, "rotation: nor can the keyring say so; the next start goes on by itself");
            ring.keyring = next;
        }
    }

    /// Erases the key that nothing is under any more; false when the turn is over.
    fn complete(&self, turn: u64, now_ms: u64) -> Result<bool, Error> {
        let Some(mut ring) = self.in_turn(turn) else { return Ok(false) };
        self.check_master(&ring)?;
        let next = ring.keyring.completed(now_ms);
        self.change(&mut ring, next)?;
        let rotation = ring.keyring.rotation();
        let seconds = rotation.ended_ms.saturating_sub(rotation.started_ms) / 1000;
        tracing::info!(from = rotation.from, to = rotation.to, seconds, "rotation: completed; the old key is erased");
        Ok(true)
    }
}

fn none_to(what: &str) -> Error {
    Error::Refused(format!("there is no rotation to {what}"))
}

/// How many records of a moment are under which key.
fn count_snapshot<E: From<Error>>(
    snapshot: &dyn Snapshot,
    mut check: impl FnMut() -> Result<(), E>,
) -> Result<KeyCounts, E> {
    /// Behind every key that there is.
    const END: [u8; 13] = [0xff; 13];
    let mut counts = KeyCounts::new();
    let mut read = 0_u64;
    for space in Space::ALL {
        for pair in snapshot.range(space, &[], &END) {
            if let Some(id) = key_id(&pair?.1) {
                *counts.entry(id).or_default() += 1;
            }
            read += 1;
            if read.is_multiple_of(4096) {
                check()?;
            }
        }
    }
    Ok(counts)
}

/// The keys of a store that is being opened, and how far its rotation has come.
pub(crate) fn opened(keys: &DataKeys) -> Result<Option<Progress>, Error> {
    let rotation = keys.rotation();
    let path = progress_file(&keys.dir);
    let progress = if rotation.is_open() { progress::read(&path, &keys.sealer)? } else { None };
    let progress = progress.filter(|progress| progress.is_of(&rotation));
    if let Some(progress) = &progress {
        progress.show(&mut keys.figures.lock());
    }
    Ok(progress)
}

impl View {
    /// The data keys.
    pub fn data_keys(&self) -> &Arc<DataKeys> {
        &self.shared.data_keys
    }
}
