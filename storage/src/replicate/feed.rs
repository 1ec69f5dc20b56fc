//! What the log's followers and the committer share: how far may be read, who still has to read what, who is to be woken.
//!
//! Knows nothing of what is in the log. Outlives the store for as long as a follower does.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::HistoryId;
use crate::log::LogIdentity;
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
        })
    }

    pub(crate) fn history_id(&self) -> HistoryId {
        self.identity.history_id
    }

    pub(super) fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
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
