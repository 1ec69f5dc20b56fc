//! Figures of replication: of a primary its replicas, of a replica its link.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use veddb_commands::replication::ReplicaInfo;

use super::{Family, Kind, Samples, Sight, counter, gauge, many};
use crate::replication::link::{LinkState, Phase};
use crate::server::Server;

/// Of this the value is known while there is no server yet.
pub(super) const IS_LOADING: &str = "veddb_is_loading";

/// Whom it follows, read once for all families.
pub(super) struct Followed {
    state: LinkState,
    /// Its own last unit.
    lsn: u64,
    in_step: Option<Instant>,
}

impl Followed {
    pub(super) fn of(server: &Server) -> Option<Followed> {
        let (link, lsn) = (server.replication.link()?, server.position().lsn);
        Some(Followed { in_step: link.in_step(lsn), state: link.state(), lsn })
    }
}

const REPLICA: &[&str] = &["replica"];

pub(super) const FAMILIES: &[Family] = &[
    gauge("veddb_is_replica", "1 where it follows another server", |s| yes(s.server.replication.is_replica())),
    gauge(IS_LOADING, "1 while its data are being opened, or replaced", |s| yes(s.server.replication.is_loading())),
    gauge("veddb_is_deposed", "1 where it has met a primary of a later term, and takes no writes", |s| {
        yes(!s.server.replication.is_replica() && s.server.replication.later_term() > 0)
    }),
    gauge("veddb_replicas", "Replicas that follow it", |s| Some(s.server.replication.feeds.len() as f64)),
    many(
        Kind::Gauge,
        "veddb_replica_online",
        "1 where the replica gets units, 0 while it gets a snapshot",
        REPLICA,
        |s, out| {
            each(s, out, |_, replica| yes(online(replica)));
        },
    ),
    many(
        Kind::Gauge,
        "veddb_replica_lag_units",
        "Units that a replica that gets units has not written yet, as it last said",
        REPLICA,
        |s, out| {
            each(s, out, |lsn, replica| online(replica).then(|| lsn.saturating_sub(replica.written) as f64));
        },
    ),
    many(
        Kind::Gauge,
        "veddb_replica_unsynced_units",
        "Units that it has not on its disk, as it last said",
        REPLICA,
        |s, out| {
            each(s, out, |lsn, replica| online(replica).then(|| lsn.saturating_sub(replica.synced) as f64));
        },
    ),
    many(Kind::Gauge, "veddb_replica_silent_seconds", "Whole seconds since it was last heard of", REPLICA, |s, out| {
        each(s, out, |_, replica| Some(replica.lag_s as f64));
    }),
    many(
        Kind::Counter,
        "veddb_replica_synchronisations_total",
        "How replicas that came were served: full (a snapshot), partial (the log from where they were), refused (a partial one could not be)",
        &["kind"],
        |s, out| {
            let replication = &s.server.replication;
            out.put(&["full"], replication.syncs_full.load(Relaxed) as f64);
            out.put(&["partial"], replication.syncs_partial.load(Relaxed) as f64);
            out.put(&["refused"], replication.syncs_partial_refused.load(Relaxed) as f64);
        },
    ),
    gauge("veddb_primary_link_up", "Of a replica: 1 while units come", |s| {
        yes(s.link.as_ref()?.state.phase == Phase::Connected)
    }),
    gauge("veddb_primary_silent_seconds", "Of a replica: since something last came from its primary", |s| {
        Some(s.link.as_ref()?.state.heard?.elapsed().as_secs_f64())
    }),
    gauge(
        "veddb_primary_lag_seconds",
        "Of a replica: since its data were last known to be as new as its primary's, which the primary says every repl-ping-replica-period",
        |s| Some(s.link.as_ref()?.in_step?.elapsed().as_secs_f64()),
    ),
    gauge(
        "veddb_primary_lag_units",
        "Of a replica that gets units: those that it has not written of those that its primary last spoke of",
        |s| {
            let Followed { state, lsn, .. } = s.link.as_ref()?;
            let is_known = state.phase == Phase::Connected && state.lsn_primary > 0;
            is_known.then(|| state.lsn_primary.saturating_sub(*lsn) as f64)
        },
    ),
    gauge("veddb_primary_snapshot_bytes", "Of a replica that reads a snapshot: its bytes", |s| {
        syncing(s).map(|state| state.sync_total as f64)
    }),
    gauge("veddb_primary_snapshot_read_bytes", "Those of them that have come", |s| {
        syncing(s).map(|state| state.sync_read as f64)
    }),
    counter("veddb_rollbacks_total", "Tails of its own log that were moved to files", |s| {
        Some(s.server.replication.rollbacks.load(Relaxed) as f64)
    }),
    counter("veddb_rolled_back_units_total", "Units in these", |s| {
        Some(s.server.replication.rolled_back_units.load(Relaxed) as f64)
    }),
];

fn yes(holds: bool) -> Option<f64> {
    Some(f64::from(u8::from(holds)))
}

fn syncing<'s>(s: &'s Sight<'_>) -> Option<&'s LinkState> {
    Some(&s.link.as_ref()?.state).filter(|state| state.phase == Phase::Sync)
}

fn online(replica: &ReplicaInfo) -> bool {
    replica.state == "online"
}

/// A figure of each replica, from this server's last unit and what is known of the replica. Who comes again before its last connection is
/// known to be gone has two: the later one is it.
fn each(s: &Sight<'_>, out: &mut Samples<'_>, figure: fn(u64, &ReplicaInfo) -> Option<f64>) {
    let lsn = s.server.position().lsn;
    let mut newest: BTreeMap<String, ReplicaInfo> = BTreeMap::new();
    for replica in s.server.replication.feeds.infos() {
        let label = format!("{}:{}", replica.ip, replica.port);
        if newest.get(&label).is_none_or(|other| other.id < replica.id) {
            newest.insert(label, replica);
        }
    }
    for (label, replica) in &newest {
        if let Some(value) = figure(lsn, replica) {
            out.put(&[label], value);
        }
    }
}
