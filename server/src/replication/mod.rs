//! Replication: whom this server follows, who follows it, and what that means for what is asked of it.
//!
//! Owns the role. `link` is the side of a replica, `feed` that of its primary, `wire` the form in which they speak, `failover` how
//! one hands over to the other. Does not know what is replicated: storage hands it over as bytes.
//!
//! Invariant: the role changes, and the store is swapped, only while `changing` is held.

mod bootstrap;
mod dial;
pub(crate) mod failover;
pub(crate) mod feed;
pub(crate) mod feeds;
pub(crate) mod follow;
mod greeting;
mod handover;
pub(crate) mod info;
pub(crate) mod link;
mod reading;
pub(crate) mod recruit;
mod role;
mod swap;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;
use veddb_storage::{is_beyond_belief, promotions};

use crate::config::Settings;
use failover::Failover;
use feeds::Feeds;
use link::Link;

/// What the server knows of replication.
#[derive(Debug, Default)]
pub(crate) struct Replication {
    /// Whom it follows.
    link: Mutex<Option<Arc<Link>>>,
    /// Looked at by every request: whether it follows anybody,
    is_replica: AtomicBool,
    /// whether the data are being replaced,
    loading: AtomicBool,
    /// and the term of another primary that was met, where it is later than the own one; else 0.
    later_term: AtomicU64,
    /// The term that this server was promoted to since its start; 0 is none.
    own_promotion: AtomicU64,
    /// What waits to be carried out.
    applying: follow::Applying,
    /// Who follows it.
    pub(crate) feeds: Feeds,
    /// Whether it is handing over.
    pub(crate) failover: Failover,
    /// Held while the role changes or the store is swapped.
    changing: Mutex<()>,
    /// The thread that writes a snapshot down.
    staging: bootstrap::Staged,
    /// Tails of its own log that were moved to files, since the start.
    pub(crate) rollbacks: AtomicU64,
    /// Their units.
    pub(crate) rolled_back_units: AtomicU64,
    /// Full and partial synchronisations that replicas were given, and partial ones that could not be.
    pub(crate) syncs_full: AtomicU64,
    pub(crate) syncs_partial: AtomicU64,
    pub(crate) syncs_partial_refused: AtomicU64,
}

/// What of the role decides whether a request may run.
#[derive(Debug, Clone, Default)]
pub struct Posture {
    /// Fewer replicas follow than `min-replicas-to-write` asks for.
    pub too_few_replicas: bool,
    /// It takes no writes, and what it says.
    pub read_only: Option<&'static str>,
    /// It follows a primary that it does not reach, and must not answer from what it has.
    pub stale: bool,
    /// The data are being replaced.
    pub loading: bool,
}

/// What a replica says to a write.
const REPLICA: &str = "You can't write against a read only replica.";
/// What a primary says to it that has met a later one.
const DEPOSED: &str = "You can't write against this server: it has met a primary of a later term. Have it follow that by \
                       REPLICAOF, or be the primary again by REPLICAOF NO ONE.";

impl Replication {
    /// What decides now.
    pub(crate) fn posture(&self, settings: &Settings) -> Posture {
        let is_replica = self.is_replica.load(SeqCst);
        Posture {
            too_few_replicas: !is_replica && !self.has_enough(settings),
            read_only: self.refuses_writes(),
            stale: is_replica && !settings.replica_serve_stale_data && !self.is_link_up(),
            loading: self.loading.load(SeqCst),
        }
    }

    /// Whether as many replicas follow as `min-replicas-to-write` asks for.
    pub(crate) fn has_enough(&self, settings: &Settings) -> bool {
        let wanted = settings.min_replicas_to_write;
        wanted == 0
            || settings.min_replicas_max_lag_s == 0
            || self.feeds.good(settings.min_replicas_max_lag_s) >= wanted
    }

    /// Whom it follows.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().clone()
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_statistics(&self) {
        for counter in [&self.syncs_full, &self.syncs_partial, &self.syncs_partial_refused] {
            counter.store(0, SeqCst);
        }
    }

    /// Pieces of the primary's log that wait to be carried out, of [`follow::APPLYING`].
    pub(crate) fn pieces_waiting(&self) -> usize {
        self.applying.waiting()
    }

    /// Whether the data are being replaced.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.load(SeqCst)
    }

    /// Whether it follows anybody.
    pub(crate) fn is_replica(&self) -> bool {
        self.is_replica.load(SeqCst)
    }

    fn is_link_up(&self) -> bool {
        self.link.lock().as_ref().is_some_and(|link| link.is_up())
    }

    /// Another server's term: a later one than the own ends that this one takes writes.
    ///
    /// # Errors
    /// Where it is so much later that it is not believed, and nothing changes.
    pub(crate) fn met_term(&self, own: u64, other: u64) -> Result<(), String> {
        if is_beyond_belief(own, other) {
            tracing::error!(own, other, "a server claims a term that is beyond belief; its link is closed");
            return Err(format!("the term {other:x} is beyond belief"));
        }
        if promotions(other) > promotions(own) && self.later_term.fetch_max(other, SeqCst) < other && !self.is_replica()
        {
            tracing::warn!(
                own,
                other,
                "a server of a later term was met: this one is no longer the primary and takes no writes"
            );
        }
        Ok(())
    }

    /// Why changes of the data are refused, if they are.
    pub(crate) fn refuses_writes(&self) -> Option<&'static str> {
        let is_deposed = self.later_term() > 0;
        if self.is_replica() { Some(REPLICA) } else { is_deposed.then_some(DEPOSED) }
    }

    /// The latest term that was met, where it is later than the own one.
    pub(crate) fn later_term(&self) -> u64 {
        self.later_term.load(SeqCst)
    }

    /// Returns once so many replicas have this unit on disk, or none are waited for any more because this server is one itself.
    /// `count` is kept up to date meanwhile.
    pub(crate) async fn until_synced(&self, lsn: u64, wanted: u64, count: &mut u64) {
        self.feeds.until_synced(lsn, wanted, count, || self.is_replica()).await;
    }
}
