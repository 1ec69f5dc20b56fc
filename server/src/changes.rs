//! Waking those who wait for changes (DOC.CHANGES .. BLOCK), however many they are.
//!
//! The committer only raises a flag, and only where somebody waits. One task passes that on to all of them, and leaves them the
//! longer in peace the more they are: what comes meanwhile they find together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use veddb_storage::{Store, Subscription};

use crate::server::Server;

/// How many read the log for DOC.CHANGES at once, each on a thread.
pub const READERS: usize = 2;

/// For each that waits all are left alone so long after they were woken, ..
const REST_EACH: Duration = Duration::from_micros(20);
/// .. but no longer than this.
const REST_MAX: Duration = Duration::from_millis(50);

/// Who waits, and who wakes them.
#[derive(Debug)]
pub(crate) struct Waiters {
    signal: Arc<Signal>,
    grown: watch::Sender<()>,
    /// The store whose log is watched.
    subscription: Mutex<Option<Subscription>>,
    /// A permit for each that reads.
    pub(crate) slots: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Signal {
    waiting: AtomicUsize,
    raised: Notify,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters {
            signal: Arc::default(),
            grown: watch::Sender::new(()),
            subscription: Mutex::default(),
            slots: Arc::new(Semaphore::new(READERS)),
        }
    }
}

impl Waiters {
    /// Waits from now on. What is written after this wakes it.
    pub(crate) fn join(&self) -> Waiter {
        let signal = Arc::clone(&self.signal);
        signal.waiting.fetch_add(1, Ordering::SeqCst);
        // Either the committer sees that somebody waits, or what it has written is found by the read that follows.
        fence(Ordering::SeqCst);
        Waiter { signal, grown: self.grown.subscribe() }
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    signal: Arc<Signal>,
    grown: watch::Receiver<()>,
}

impl Waiter {
    /// What was written up to now is about to be looked at.
    pub(crate) fn look(&mut self) {
        self.grown.mark_unchanged();
    }

    /// Returns once there may be more than at the last look.
    pub(crate) async fn grown(&mut self) {
        if self.grown.changed().await.is_err() {
            // The server is going away, and closes the connection.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.signal.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Begins to wake those who wait.
pub fn start(server: &Arc<Server>) {
    attach(server, &server.store());
    let signal = Arc::clone(&server.changes.signal);
    let server = Arc::downgrade(server);
    tokio::spawn(async move {
        loop {
            signal.raised.notified().await;
            let Some(server) = server.upgrade() else { return };
            server.changes.grown.send_replace(());
            drop(server);
            let waiting = u32::try_from(signal.waiting.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
            tokio::time::sleep(REST_EACH.saturating_mul(waiting).min(REST_MAX)).await;
        }
    });
}

/// Watches the log of this store from now on.
pub(crate) fn attach(server: &Server, store: &Store) {
    let signal = Arc::clone(&server.changes.signal);
    let raise = move || {
        fence(Ordering::SeqCst);
        if signal.waiting.load(Ordering::SeqCst) > 0 {
            signal.raised.notify_one();
        }
    };
    *server.changes.subscription.lock() = Some(store.on_commit(raise.clone()));
    // It may have changes that the one before did not have, or got before it was watched.
    raise();
}
