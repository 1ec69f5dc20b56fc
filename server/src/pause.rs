//! CLIENT PAUSE: what connections ask for is held back until its time is up or somebody ends it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use veddb_commands::session::Paused;

/// How often it is looked whether handing over has ended: that itself wakes who waits.
const LOOK: Duration = Duration::from_secs(1);

/// Whether there is a pause, and of what.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Looked at before the lock.
    on: AtomicBool,
    /// Writes are held back while the server hands over to a replica.
    failover: AtomicBool,
    state: Mutex<Option<(Paused, Instant)>>,
    changed: Notify,
}

impl Pause {
    /// Begins one. Where there is one already, the stricter and the longer hold.
    pub(crate) fn begin(&self, what: Paused, time: Duration) {
        let mut state = self.state.lock();
        let now = Instant::now();
        // A time beyond what the clock can say is one without an end.
        let until = now.checked_add(time).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        let before = state.filter(|(_, until)| *until > now);
        *state = Some(before.map_or((what, until), |before| (before.0.max(what), before.1.max(until))));
        self.on.store(true, Relaxed);
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        *self.state.lock() = None;
        self.on.store(false, Relaxed);
        self.changed.notify_waiters();
    }

    /// Holds writes back until [`Pause::end_failover`], whatever CLIENT PAUSE asks for.
    pub(crate) fn begin_failover(&self) {
        self.failover.store(true, SeqCst);
    }

    /// Ends that.
    pub(crate) fn end_failover(&self) {
        self.failover.store(false, SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether there may be one: a cheap look.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed) || self.failover.load(SeqCst)
    }

    /// Until when commands that may write, or others, are held back.
    fn until(&self, writes: bool) -> Option<Instant> {
        if writes && self.failover.load(SeqCst) {
            return Some(Instant::now() + LOOK);
        }
        if !self.on.load(Relaxed) {
            return None;
        }
        let mut state = self.state.lock();
        let (what, until) = (*state)?;
        if until <= Instant::now() {
            *state = None;
            self.on.store(false, Relaxed);
            return None;
        }
        (writes || what == Paused::All).then_some(until)
    }

    /// Whether commands that may write, or others, are held back.
    pub(crate) fn holds(&self, writes: bool) -> bool {
        self.until(writes).is_some()
    }

    /// Returns once they are not.
    pub(crate) async fn over(&self, writes: bool) {
        loop {
            // Listened to before looking, so that an end in between is not missed.
            let changed = self.changed.notified();
            let Some(until) = self.until(writes) else { return };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_and_the_longer_pause_holds() {
        let pause = Pause::default();
        assert!(!pause.holds(true));
        pause.begin(Paused::Writes, Duration::from_secs(60));
        assert!(pause.holds(true) && !pause.holds(false));
        pause.begin(Paused::All, Duration::from_millis(0));
        assert!(pause.holds(false), "it has the time of the first");
        pause.begin(Paused::Writes, Duration::MAX);
        assert!(pause.holds(false));
        pause.end();
        assert!(!pause.holds(true));
        pause.begin(Paused::All, Duration::ZERO);
        assert!(!pause.holds(true), "its time is up");
    }
}
