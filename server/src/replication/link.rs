//! What is known of the link to the primary, outside of its own task.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::Primary;

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is to be made.
    Connect,
    /// The socket is being connected.
    Connecting,
    /// The two are getting to know each other.
    Handshake,
    /// A snapshot is read, or put in place.
    Sync,
    /// Units come.
    Connected,
}

impl Phase {
    /// The word of ROLE.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Connecting => "connecting",
            Phase::Handshake => "handshake",
            Phase::Sync => "sync",
            Phase::Connected => "connected",
        }
    }
}

/// The link to a primary, made anew until nobody wants it any more.
#[derive(Debug)]
pub(crate) struct Link {
    /// Where the primary listens.
    pub(crate) primary: Primary,
    /// Data of another history may be overwritten, until there are some of the primary's: it was said of those that were there then.
    pub(crate) force: AtomicBool,
    /// The promotions that led here are this server's own, and are given up.
    pub(crate) yields: bool,
    /// The primary is to have this server's place first: FAILOVER.
    pub(crate) failover: AtomicBool,
    /// All data are to be read anew.
    pub(crate) full: AtomicBool,
    state: Mutex<LinkState>,
    over: watch::Sender<bool>,
}

/// What changes while it is there.
#[derive(Debug, Clone)]
pub(crate) struct LinkState {
    pub(crate) phase: Phase,
    /// When something last came.
    pub(crate) heard: Option<Instant>,
    /// Since when it is down.
    pub(crate) down: Option<Instant>,
    /// Why the last attempt ended.
    pub(crate) error: String,
    /// The run ids of the primary and of those that it follows.
    pub(crate) chain: Vec<String>,
    /// Bytes of the snapshot, and how many of them have come.
    pub(crate) sync_total: u64,
    pub(crate) sync_read: u64,
}

impl Link {
    /// One that is still to be made.
    pub(crate) fn new(primary: Primary, force: bool, yields: bool, failover: bool) -> Link {
        let state = LinkState {
            phase: Phase::Connect,
            heard: None,
            down: Some(Instant::now()),
            error: String::new(),
            chain: Vec::new(),
            sync_total: 0,
            sync_read: 0,
        };
        Link {
            primary,
            force: AtomicBool::new(force),
            yields,
            failover: AtomicBool::new(failover),
            full: AtomicBool::new(false),
            state: Mutex::new(state),
            over: watch::Sender::new(false),
        }
    }

    /// How it is.
    pub(crate) fn state(&self) -> LinkState {
        self.state.lock().clone()
    }

    /// Whether units come.
    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().phase == Phase::Connected
    }

    /// It is so far.
    pub(crate) fn reach(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = phase;
        if phase == Phase::Connected {
            state.down = None;
            state.error.clear();
        }
    }

    /// The attempt has ended.
    pub(crate) fn ended(&self, why: &str) {
        let mut state = self.state.lock();
        state.phase = Phase::Connect;
        state.down.get_or_insert_with(Instant::now);
        state.error = why.replace(['\r', '\n'], " ");
        state.chain.clear();
    }

    /// Something came.
    pub(crate) fn heard(&self) {
        self.state.lock().heard = Some(Instant::now());
    }

    /// Whom the primary is, and follows.
    pub(crate) fn set_chain(&self, chain: Vec<String>) {
        self.state.lock().chain = chain;
    }

    /// So much of a snapshot has come.
    pub(crate) fn note_sync(&self, total: u64, read: u64) {
        let mut state = self.state.lock();
        (state.sync_total, state.sync_read) = (total, read);
    }

    /// Nobody wants it any more.
    pub(crate) fn cancel(&self) {
        self.over.send_replace(true);
    }

    /// Whether nobody wants it any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        *self.over.borrow()
    }

    /// Returns once nobody wants it any more.
    pub(crate) async fn cancelled(&self) {
        let mut over = self.over.subscribe();
        let _ = over.wait_for(|over| *over).await;
    }

    /// Whether the primary was told to take over and it may still be.
    pub(crate) fn hands_over(&self) -> bool {
        self.failover.load(SeqCst)
    }
}

/// Whole seconds since then; -1 where there was no such moment.
pub(crate) fn seconds(since: Option<Instant>) -> i64 {
    since.map_or(-1, |since| i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX))
}

/// How long is waited before a link is made again.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);
