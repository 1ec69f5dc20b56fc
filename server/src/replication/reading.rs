//! The thread that reads for one replica: what it lacks, from the log, or a snapshot and then the log.
//!
//! It hands over through a channel of a few pieces, so a replica that does not read holds up its own thread alone; once it is
//! farther behind than `repl-log-size`, storage takes its place in the log away.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use veddb_commands::replication::FollowRequest;
use veddb_storage::{FollowError, Follower, Position, Store, TermStart, is_beyond_belief, promotions};

use super::feeds::Feed;
use super::wire::Said;
use crate::server::Server;

/// Bytes of units that are read and sent together, where there are so many.
const UNITS_BYTES: usize = 256 << 10;
/// How long a replica that is ahead of this replica is given to be no longer: this one has not received so much yet.
const AHEAD: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// What the thread has.
pub(super) struct Reading {
    server: Arc<Server>,
    /// The store of the time when the link began: it is not read on when another takes its place.
    store: Arc<Store>,
    feed: Arc<Feed>,
    request: FollowRequest,
    pieces: Sender<Said>,
}

/// The link has ended.
struct Ended;

impl Reading {
    /// For this replica.
    pub(super) fn new(
        server: &Arc<Server>,
        store: Arc<Store>,
        feed: &Arc<Feed>,
        request: FollowRequest,
        pieces: Sender<Said>,
    ) -> Reading {
        Reading { store, server: Arc::clone(server), feed: Arc::clone(feed), request, pieces }
    }

    /// Reads until the link ends.
    pub(super) fn run(self) {
        // Nobody is left to be told.
        let _ = self.read();
    }

    fn say(&self, said: Said) -> Result<(), Ended> {
        self.pieces.blocking_send(said).map_err(|_| Ended)
    }

    fn read(&self) -> Result<(), Ended> {
        let counters = &self.server.replication;
        if let Err(why) = self.judge_term() {
            return self.say(Said::Refused(why));
        }
        if self.request.full {
            return self.snapshot();
        }
        match self.open() {
            Ok(follower) => {
                counters.syncs_partial.fetch_add(1, Relaxed);
                self.say(Said::Continue)?;
                self.stream(follower, None)
            }
            Err(FollowError::Foreign) if !self.request.blank => self.say(Said::Refused(
                "its data are of another history than those here; REPLICAOF host port FORCE overwrites them".to_owned(),
            )),
            Err(FollowError::Lost(_) | FollowError::Foreign) => {
                if !self.request.blank {
                    counters.syncs_partial_refused.fetch_add(1, Relaxed);
                }
                self.snapshot()
            }
            Err(FollowError::Ahead(_) | FollowError::Diverged { .. }) => {
                counters.syncs_partial_refused.fetch_add(1, Relaxed);
                let terms = self.request.terms.iter();
                let terms: Vec<_> =
                    terms.map(|(term, first_lsn)| TermStart { term: *term, first_lsn: *first_lsn }).collect();
                self.say(Said::Diverged { common: self.store.common(&terms, self.request.lsn) })
            }
            Err(error @ (FollowError::Closed | FollowError::Failed(_))) => self.say(Said::Refused(error.to_string())),
        }
    }

    /// Opens the log where the replica is.
    fn open(&self) -> Result<Follower, FollowError> {
        let FollowRequest { history, term, lsn, .. } = self.request;
        let until = Instant::now() + AHEAD;
        loop {
            match self.store.follow(Position { history, term, lsn }) {
                Err(FollowError::Ahead(_)) if self.server.replication.is_replica() && Instant::now() < until => {
                    std::thread::sleep(LOOK);
                }
                found => return found,
            }
        }
    }

    /// What a replica of a later term means.
    fn judge_term(&self) -> Result<(), String> {
        let theirs = self.request.term;
        let position = self.store.position();
        let own = position.term;
        // Terms of another history say nothing here.
        if self.request.history != position.history || promotions(theirs) <= promotions(own) {
            return Ok(());
        }
        if self.request.yields && !is_beyond_belief(own, theirs) && !self.server.replication.is_replica() {
            // It was told to give up what it was promoted to, so nobody is a primary of that term.
            return self.server.outdo(theirs);
        }
        self.server.replication.met_term(own, theirs)?;
        Err("this server is of an earlier term than the replica".to_owned())
    }

    /// Sends what is written from here on. The export of this id is let go of when the replica has it in place: until then a link
    /// that is cut goes on with it, and for as long the store keeps all that it has.
    fn stream(&self, follower: Follower, mut export: Option<[u8; 16]>) -> Result<(), Ended> {
        // Its run id is another one after a restart, where it listens is not.
        let mut follower = follower.named(&format!("{}:{}", self.feed.ip, self.feed.port));
        let thread = std::thread::current();
        let _subscription = self.store.on_commit(move || thread.unpark());
        loop {
            // What a power cut may take from the replica is still wanted.
            follower.acknowledge(self.feed.synced().min(follower.position().lsn));
            if self.feed.is_online()
                && let Some(export) = export.take().and_then(|id| self.store.resume_export(id))
            {
                export.end();
            }
            match follower.next(UNITS_BYTES) {
                Ok(Some(units)) => self.say(Said::Units(Bytes::from(units.to_bytes())))?,
                Ok(None) if self.feed.is_ended() => return Err(Ended),
                // A wake-up in between is kept; the time is for looking at how far the replica is.
                Ok(None) => std::thread::park_timeout(Duration::from_millis(500)),
                Err(error) => {
                    tracing::warn!(replica = %self.feed.ip, port = self.feed.port, %error, "the log cannot be read on for a replica");
                    return Err(Ended);
                }
            }
        }
    }

    /// Sends a snapshot, from where the replica had come to where that is possible, and then what was written since.
    fn snapshot(&self) -> Result<(), Ended> {
        let resumed = self.request.resume.and_then(|(id, first)| Some((self.store.resume_export(id)?, first)));
        let (mut export, first) = match resumed {
            Some(found) => found,
            None => match self.store.export() {
                Ok(export) => {
                    // One that goes on after a cut link is not another.
                    self.server.replication.syncs_full.fetch_add(1, Relaxed);
                    (export, 0)
                }
                Err(error) => return self.say(Said::Refused(error.to_string())),
            },
        };
        let header = match serde_json::to_vec(export.header()) {
            Ok(header) => Bytes::from(header),
            Err(error) => return self.say(Said::Refused(error.to_string())),
        };
        let (id, position) = (export.header().id, export.header().position);
        tracing::info!(replica = %self.feed.ip, port = self.feed.port, lsn = position.lsn, first, "a replica gets a snapshot");
        self.say(Said::Snapshot { id, first, header })?;
        let mut number = first;
        loop {
            match export.chunk(number) {
                Ok(Some(bytes)) => self.say(Said::Chunk { number, bytes: Bytes::from(bytes) })?,
                Ok(None) => break,
                Err(error) => return self.say(Said::Refused(error.to_string())),
            }
            number += 1;
        }
        let Some(hash) = export.hash() else { return Err(Ended) };
        // Before the export is let go, which keeps the log from there on.
        let follower = self.store.follow(position);
        drop(export);
        self.say(Said::Whole { hash })?;
        match follower {
            Ok(follower) => self.stream(follower, Some(id)),
            Err(error) => {
                tracing::warn!(replica = %self.feed.ip, port = self.feed.port, %error, "the log after a snapshot cannot be read");
                Err(Ended)
            }
        }
    }
}
