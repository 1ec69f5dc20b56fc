//! What the log's followers and the committer share: how far may be read, who still has to read what, who is to be woken.
//!
//! Knows nothing of what is in the log. Outlives the store for as long as a follower does.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::HistoryId;
use crate::log::{LogIdentity, Places, Progress};
use crate::lsn::Lsn;

type Listener = Box<dyn Fn() + Send + Sync>;

/// One store's.
pub(crate) struct Feed {
    dir: PathBuf,
    identity: LogIdentity,
    /// The last unit that may be read: the last one published.
    lsn_readable: AtomicU64,
    pins: Mutex<Pins>,
    listeners: Mutex<BTreeMap<u64, Arc<Listener>>>,
    next_listener: AtomicU64,
    closed: AtomicBool,
    linger: Duration,
    /// How far the log is on disk, once it is open.
    progress: OnceLock<Arc<Progress>>,
    /// Somebody waits for what is written to be on disk.
    sync_wanted: AtomicBool,
    places: Arc<Places>,
    /// The first unit that the log has, or will have.
    lsn_first: AtomicU64,
    /// What collections were called is known of all units after this one.
    names_after: AtomicU64,
    /// Bytes of the log that are kept for whoever may want to know what changed.
    kept_bytes: AtomicU64,
    /// It has become less, and nobody has trimmed the log since.
    trim_wanted: AtomicBool,
    /// Held while segments are deleted or replaced.
    files: Mutex<()>,
    readings: Mutex<Readings>,
}

/// Those who read in the log's files and are no followers: for a moment each.
#[derive(Debug, Default)]
struct Readings {
    next: u64,
    all: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Pins {
    next: u64,
    /// What each of them has read.
    all: BTreeMap<u64, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    /// What is after it is wanted.
    lsn: Lsn,
    /// Who wants it, if that was told.
    name: Option<String>,
    /// When whoever read it went away; it may come back.
    released: Option<Instant>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feed")
    }
}

impl Feed {
    /// Of the log in this directory. Whoever goes away has so long to come back.
    pub(crate) fn new(dir: PathBuf, identity: LogIdentity, linger: Duration) -> Arc<Feed> {
        Arc::new(Feed {
            dir,
            identity,
            lsn_readable: AtomicU64::new(0),
            pins: Mutex::default(),
            listeners: Mutex::default(),
            next_listener: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            linger,
            progress: OnceLock::new(),
            sync_wanted: AtomicBool::new(false),
            places: Arc::default(),
            lsn_first: AtomicU64::new(1),
            names_after: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(0),
            trim_wanted: AtomicBool::new(false),
            files: Mutex::default(),
            readings: Mutex::default(),
        })
    }

    pub(crate) fn history_id(&self) -> HistoryId {
        self.identity.history_id
    }

    pub(crate) fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places)
    }

    /// The log is open, and how far it is on disk is told here.
    pub(crate) fn opened(&self, progress: Arc<Progress>, lsn_first: Lsn) {
        let _ = self.progress.set(progress);
        self.lsn_first.store(lsn_first, Ordering::Release);
    }

    /// The last unit that no crash can take back, of those that were published.
    pub(super) fn lsn_lasting(&self) -> Lsn {
        let readable = self.lsn_readable();
        self.progress.get().map_or(0, |progress| progress.lsn_durable()).min(readable)
    }

    /// Has what is written brought to the disk within about a second, whatever `appendfsync` says.
    pub(super) fn want_sync(&self) {
        self.sync_wanted.store(true, Ordering::Release);
    }

    /// Whether somebody asked for that since the last time.
    pub(crate) fn take_sync_wanted(&self) -> bool {
        self.sync_wanted.swap(false, Ordering::AcqRel)
    }

    /// More of the log may be on disk than before.
    pub(crate) fn synced(&self) {
        self.wake();
    }

    /// The first unit that the log has, or will have.
    pub(crate) fn lsn_first(&self) -> Lsn {
        self.lsn_first.load(Ordering::Acquire)
    }

    /// The same, after a trim.
    pub(crate) fn trimmed(&self, lsn_first: Lsn) {
        self.lsn_first.store(lsn_first, Ordering::Release);
    }

    /// After which unit it is known what collections were called.
    pub(crate) fn names_after(&self) -> Lsn {
        self.names_after.load(Ordering::Acquire)
    }

    /// What collections were called up to this unit is known no more.
    pub(crate) fn forget_names(&self, lsn: Lsn) {
        self.names_after.fetch_max(lsn, Ordering::AcqRel);
    }

    /// How many bytes of the log are kept for whoever may want to know what changed.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_kept_bytes(&self, bytes: u64) {
        if bytes < self.kept_bytes.swap(bytes, Ordering::AcqRel) {
            self.trim_wanted.store(true, Ordering::Release);
        }
    }

    /// Whether that has become less since the last time.
    pub(crate) fn take_trim_wanted(&self) -> bool {
        self.trim_wanted.swap(false, Ordering::AcqRel)
    }

    /// Held while segments are deleted or replaced.
    pub(crate) fn files(&self) -> &Mutex<()> {
        &self.files
    }

    /// Says that somebody reads in the log's files, until it is dropped. Keeps nothing there.
    pub(super) fn reading(self: &Arc<Self>) -> Reading {
        let mut readings = self.readings.lock();
        readings.next += 1;
        let id = readings.next;
        readings.all.insert(id);
        Reading { feed: Arc::clone(self), id }
    }

    /// The next one who reads will have a number after this one.
    pub(crate) fn last_reading(&self) -> u64 {
        self.readings.lock().next
    }

    /// How many of those up to this number still read.
    pub(crate) fn readings_until(&self, id: u64) -> usize {
        self.readings.lock().all.range(..=id).count()
    }

    pub(super) fn lsn_readable(&self) -> Lsn {
        self.lsn_readable.load(Ordering::Acquire)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// There are units up to this one to read.
    pub(crate) fn advance(&self, lsn: Lsn) {
        self.lsn_readable.store(lsn, Ordering::Release);
        self.wake();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Called without the lock, so that a listener may end its own subscription.
        let listeners: Vec<Arc<Listener>> = self.listeners.lock().values().cloned().collect();
        listeners.iter().for_each(|listener| listener());
    }

    pub(super) fn subscribe(self: &Arc<Self>, listener: Listener) -> Subscription {
        let id = self.next_listener.fetch_add(1, Ordering::Relaxed);
        self.listeners.lock().insert(id, Arc::new(listener));
        Subscription { feed: Arc::downgrade(self), id }
    }

    /// Has everything after this unit kept.
    pub(super) fn pin(self: &Arc<Self>, lsn: Lsn) -> Pin {
        let mut pins = self.pins.lock();
        pins.next += 1;
        let id = pins.next;
        pins.all.insert(id, Kept { lsn, name: None, released: None });
        Pin { feed: Arc::clone(self), id }
    }

    /// Has everything after this unit kept for whoever may come back after a restart.
    pub(crate) fn keep(&self, lsn: Lsn) {
        let mut pins = self.pins.lock();
        pins.next += 1;
        let id = pins.next;
        pins.all.insert(id, Kept { lsn, name: None, released: Some(Instant::now()) });
    }

    /// What has to be kept of the log: everything after this unit. None: nobody wants any of it. Those who have been away
    /// too long, and all of them where `present_only`, are forgotten.
    pub(crate) fn wanted_after(&self, present_only: bool) -> Option<Lsn> {
        let mut pins = self.pins.lock();
        pins.all.retain(|_, kept| kept.released.is_none_or(|since| !present_only && since.elapsed() < self.linger));
        pins.all.values().map(|kept| kept.lsn).min()
    }

    /// How many followers have still to read something up to this unit.
    pub(crate) fn behind(&self, lsn: Lsn) -> usize {
        self.pins.lock().all.values().filter(|kept| kept.released.is_none() && kept.lsn < lsn).count()
    }
}

/// Somebody who reads in the log's files.
#[derive(Debug)]
pub(super) struct Reading {
    feed: Arc<Feed>,
    id: u64,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.feed.readings.lock().all.remove(&self.id);
    }
}

/// Keeps the log from a unit on.
pub(super) struct Pin {
    feed: Arc<Feed>,
    id: u64,
}

impl Pin {
    /// What is up to this unit is no longer wanted; nor is it again where an earlier one is named.
    pub(super) fn advance(&self, lsn: Lsn) {
        if let Some(kept) = self.feed.pins.lock().all.get_mut(&self.id) {
            kept.lsn = kept.lsn.max(lsn);
        }
    }

    /// It is this one's, who has come back if there is another of the name that was left behind: what was kept for that stays until
    /// this one goes on, since a power cut may still take from it what it did not have on disk.
    pub(super) fn belongs_to(&self, name: &str) {
        let mut pins = self.feed.pins.lock();
        let is_before =
            |id: &u64, kept: &Kept| *id != self.id && kept.released.is_some() && kept.name.as_deref() == Some(name);
        let before = pins.all.iter().filter(|(id, kept)| is_before(id, kept)).map(|(_, kept)| kept.lsn).min();
        pins.all.retain(|id, kept| !is_before(id, kept));
        if let Some(kept) = pins.all.get_mut(&self.id) {
            kept.name = Some(name.to_owned());
            kept.lsn = before.unwrap_or(kept.lsn).min(kept.lsn);
        }
    }

    /// Whoever had it will not come back.
    pub(super) fn forget(&self) {
        self.feed.pins.lock().all.remove(&self.id);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(kept) = self.feed.pins.lock().all.get_mut(&self.id) {
            kept.released = Some(Instant::now());
        }
    }
}

/// Whoever is woken when there is more to read; until it is dropped.
pub struct Subscription {
    feed: Weak<Feed>,
    id: u64,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            feed.listeners.lock().remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn feed() -> Arc<Feed> {
        let (_dir, _, sealer) = testing::engine();
        Feed::new(PathBuf::new(), LogIdentity { sealer, history_id: [7; 16] }, Duration::from_secs(3600))
    }

    #[test]
    fn what_was_let_go_is_not_wanted_again() {
        let feed = feed();
        let pin = feed.pin(10);
        pin.advance(20);
        pin.advance(5);
        assert_eq!(feed.wanted_after(false), Some(20));
    }

    #[test]
    fn who_comes_back_is_kept_what_it_had_not_on_disk() {
        let feed = feed();
        let first = feed.pin(10);
        first.belongs_to("a");
        first.advance(20);
        drop(first);
        // It has written more than it says is on its disk.
        let second = feed.pin(50);
        second.belongs_to("a");
        assert_eq!(feed.wanted_after(false), Some(20));
        second.advance(60);
        assert_eq!(feed.wanted_after(false), Some(60), "nothing is left of the first");
    }
}
