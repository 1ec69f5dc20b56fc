//! Figures of replication: of a primary its replicas, of a replica its link.

use std::sync::atomic::Ordering::Relaxed;

use veddb_commands::replication::ReplicaInfo;

use super::{Family, Kind, Samples, Sight, counter, gauge, many};
use crate::replication::link::{LinkState, Phase};

const REPLICA: &[&str] = &["replica"];

pub(super) const FAMILIES: &[Family] = &[
    gauge("veddb_is_replica", "1 where it follows another server", |s| yes(s.server.replication.is_replica())),
    gauge("veddb_is_loading", "1 while its data are replaced", |s| yes(s.server.replication.is_loading())),
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
            each(s, out, |_, replica| f64::from(u8::from(replica.state == "online")));
        },
    ),
    many(
        Kind::Gauge,
        "veddb_replica_lag_units",
        "Units that the replica has not written yet, as it last said",
        REPLICA,
        |s, out| {
            each(s, out, |lsn, replica| lsn.saturating_sub(replica.written) as f64);
        },
    ),
    many(
        Kind::Gauge,
        "veddb_replica_unsynced_units",
        "Units that it has not on its disk, as it last said",
        REPLICA,
        |s, out| {
            each(s, out, |lsn, replica| lsn.saturating_sub(replica.synced) as f64);
        },
    ),
    many(Kind::Gauge, "veddb_replica_silent_seconds", "Whole seconds since it was last heard of", REPLICA, |s, out| {
        each(s, out, |_, replica| replica.lag_s as f64);
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
        link(s, |state| yes(state.phase == Phase::Connected))
    }),
    gauge("veddb_primary_silent_seconds", "Of a replica: since something last came from its primary", |s| {
        link(s, |state| Some(state.heard?.elapsed().as_secs_f64()))
    }),
    gauge(
        "veddb_primary_lag_units",
        "Of a replica: units that it has not written of those that its primary last spoke of",
        |s| {
            let lsn = s.server.position().lsn;
            link(s, |state| (state.lsn_primary > 0).then(|| state.lsn_primary.saturating_sub(lsn) as f64))
        },
    ),
    gauge("veddb_primary_snapshot_bytes", "Of a replica that reads a snapshot: its bytes", |s| {
        link(s, |state| (state.phase == Phase::Sync).then_some(state.sync_total as f64))
    }),
    gauge("veddb_primary_snapshot_read_bytes", "Those of them that have come", |s| {
        link(s, |state| (state.phase == Phase::Sync).then_some(state.sync_read as f64))
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

fn link(s: &Sight<'_>, figure: impl FnOnce(&LinkState) -> Option<f64>) -> Option<f64> {
    figure(&s.server.replication.link()?.state())
}

/// A figure of each replica, from this server's last unit and what is known of the replica.
fn each(s: &Sight<'_>, out: &mut Samples<'_>, figure: fn(u64, &ReplicaInfo) -> f64) {
    let lsn = s.server.position().lsn;
    for replica in s.server.replication.feeds.infos() {
        out.put(&[&format!("{}:{}", replica.ip, replica.port)], figure(lsn, &replica));
    }
}
