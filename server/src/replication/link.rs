//! What is known of the link to the primary, outside of its own task.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::handover::{HandOver, Outcome};
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
    /// The promotions that led here are this server's own, and are given up; until the primary has heard of it.
    pub(crate) yields: AtomicBool,
    /// The primary is to have this server's place first: FAILOVER.
    pub(crate) handover: Option<HandOver>,
    /// All data are to be read anew.
    pub(crate) full: AtomicBool,
    /// The last unit of a log whose tail was moved to a file, which is not done twice; 0 is none.
    pub(crate) tail_moved: AtomicU64,
    state: Mutex<LinkState>,
    /// Held while something is handed to the committer: when the link has been cancelled nothing more of it is.
    handing: Mutex<()>,
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
    /// The run id of the primary, as heard last, also where the link is down; empty before the first contact.
    pub(crate) primary_id: String,
    /// The last unit that has come, carried out or not; 0 is none.
    pub(crate) received: u64,
    /// Bytes of the snapshot's documents, and of those that are written down here.
    pub(crate) sync_total: u64,
    pub(crate) sync_read: u64,
    /// The primary's last unit, as it last said in this attempt; 0 before.
    pub(crate) lsn_primary: u64,
    /// A unit that the primary had written at a time, which is not known to be carried out here yet.
    mark: Option<Mark>,
    /// When the data were last known to be no older than the primary's, since this link is wanted.
    in_step: Option<Instant>,
}

/// Up to where the primary had written when it said so.
#[derive(Debug, Clone, Copy)]
struct Mark {
    lsn: u64,
    at: Instant,
}

impl LinkState {
    /// Notes that so much is carried out here. What was said before units come says nothing of the data that are here: those may be of
    /// another history, or about to be replaced.
    fn settle(&mut self, lsn: u64) {
        if let Some(mark) = self.mark.filter(|mark| self.phase == Phase::Connected && mark.lsn <= lsn) {
            self.in_step = Some(mark.at);
            self.mark = None;
        }
    }

    /// The same, and that the primary has written up to this unit by now. One that is still waited for stays: how old the data are is
    /// counted from that.
    fn note_primary(&mut self, lsn_primary: u64, lsn: u64, now: Instant) {
        self.settle(lsn);
        self.lsn_primary = lsn_primary;
        self.mark.get_or_insert(Mark { lsn: lsn_primary, at: now });
    }

    fn end(&mut self) {
        self.phase = Phase::Connect;
        self.down.get_or_insert_with(Instant::now);
        self.chain.clear();
        self.received = 0;
        self.lsn_primary = 0;
        self.mark = None;
    }
}

impl Link {
    /// One that is still to be made.
    pub(crate) fn new(primary: Primary, force: bool, yields: bool, handover: Option<HandOver>) -> Link {
        let state = LinkState {
            phase: Phase::Connect,
            heard: None,
            down: Some(Instant::now()),
            error: String::new(),
            chain: Vec::new(),
            primary_id: String::new(),
            received: 0,
            sync_total: 0,
            sync_read: 0,
            lsn_primary: 0,
            mark: None,
            in_step: None,
        };
        Link {
            primary,
            force: AtomicBool::new(force),
            yields: AtomicBool::new(yields),
            handover,
            full: AtomicBool::new(false),
            tail_moved: AtomicU64::new(0),
            state: Mutex::new(state),
            handing: Mutex::default(),
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
        state.end();
        state.error = why.replace(['\r', '\n'], " ");
    }

    /// Since when the data, which have this unit as their last, are not known to be as new as the primary's; none where they have not been
    /// since this link is wanted.
    pub(crate) fn in_step(&self, lsn: u64) -> Option<Instant> {
        let mut state = self.state.lock();
        state.settle(lsn);
        state.in_step
    }

    /// Something came.
    pub(crate) fn heard(&self) {
        self.state.lock().heard = Some(Instant::now());
    }

    /// Whom the primary is, and follows.
    pub(crate) fn set_chain(&self, chain: Vec<String>) {
        let mut state = self.state.lock();
        if let Some(primary) = chain.first() {
            state.primary_id.clone_from(primary);
        }
        state.chain = chain;
    }

    /// The primary has taken this server on: what was to be said once is said.
    pub(crate) fn is_admitted(&self) {
        self.yields.store(false, SeqCst);
    }

    /// Units up to this one have come.
    pub(crate) fn note_received(&self, lsn: u64) {
        self.state.lock().received = lsn;
    }

    /// The primary has written up to this unit, and this server up to `lsn`.
    pub(crate) fn note_primary(&self, lsn_primary: u64, lsn: u64) {
        self.state.lock().note_primary(lsn_primary, lsn, Instant::now());
    }

    /// So much of a snapshot is written down.
    pub(crate) fn note_sync(&self, total: u64, read: u64) {
        let mut state = self.state.lock();
        (state.sync_total, state.sync_read) = (total, read);
    }

    /// Nobody wants it any more. When this returns, nothing more that it brings is handed to the committer.
    pub(crate) fn cancel(&self) {
        let _handing = self.handing.lock();
        self.over.send_replace(true);
    }

    /// Hands something to the committer, which must not take its time, unless nobody wants the link any more.
    pub(crate) fn hand<T>(&self, hand: impl FnOnce() -> T) -> Option<T> {
        let _handing = self.handing.lock();
        if self.is_cancelled() { None } else { Some(hand()) }
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

    /// What is being handed over, as long as nobody knows what became of it.
    pub(crate) fn hands_over(&self) -> Option<&HandOver> {
        self.handover.as_ref().filter(|handover| handover.outcome() == Outcome::Open)
    }

    /// Returns once what it hands over is not wanted any more; never where it hands nothing over.
    pub(crate) async fn given_up(&self) {
        match &self.handover {
            Some(handover) => handover.until_given_up().await,
            None => std::future::pending().await,
        }
    }
}

/// Whole seconds since then; -1 where there was no such moment.
pub(crate) fn seconds(since: Option<Instant>) -> i64 {
    since.map_or(-1, |since| i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX))
}

/// How long is waited before a link is made again.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link::new(Primary { host: "somewhere".to_owned(), port: 1 }, false, false, None)
    }

    #[test]
    fn data_are_in_step_once_what_the_primary_had_is_carried_out() {
        let link = link();
        link.heard();
        link.note_primary(10, 10);
        assert!(link.in_step(10).is_none(), "no units come: the two may have nothing in common");
        link.reach(Phase::Connected);
        assert!(link.in_step(9).is_none(), "a unit is missing");
        let first = link.in_step(10).unwrap();
        // What waits to be carried out counts from when it was first heard of, whatever comes meanwhile.
        std::thread::sleep(Duration::from_millis(2));
        link.note_primary(20, 10);
        link.note_primary(30, 15);
        assert_eq!(link.in_step(19), Some(first));
        let second = link.in_step(20).unwrap();
        assert!(second > first);
        // Signs of life of a link whose units cannot be carried out change nothing.
        link.note_primary(40, 20);
        link.ended("units cannot be carried out");
        link.heard();
        link.note_primary(40, 20);
        assert_eq!(link.in_step(40), Some(second), "it is not connected");
        assert_eq!(link.state().phase, Phase::Connect);
    }
}
