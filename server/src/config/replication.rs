//! The settings of replication. Most have two names: Redis has called replicas slaves before.

use super::Secret;
use super::kind::{Refusal, boolean, integer, memory, only, primary};
use super::table::{I32, MIB, Setting, put, yes_no};
use veddb_commands::replication::is_address;

pub(super) const MIN_REPLICAS_MAX_LAG: Setting = Setting::live(
    "min-replicas-max-lag",
    "Seconds since a replica was last heard of, beyond which min-replicas-to-write does not count it.",
    |s| s.min_replicas_max_lag_s.to_string(),
    |s, v| put(&mut s.min_replicas_max_lag_s, integer(v, 0..=I32)),
);
pub(super) const MIN_REPLICAS_TO_WRITE: Setting = Setting::live(
    "min-replicas-to-write",
    "Writes are refused (NOREPLICAS) while fewer replicas follow; 0 is no bound.",
    |s| s.min_replicas_to_write.to_string(),
    |s, v| put(&mut s.min_replicas_to_write, integer(v, 0..=I32)),
);
pub(super) const REPL_PING_REPLICA_PERIOD: Setting = Setting::live(
    "repl-ping-replica-period",
    "Seconds between two signs of life that replicas are given.",
    |s| s.repl_ping_period_s.to_string(),
    |s, v| put(&mut s.repl_ping_period_s, integer(v, 1..=I32)),
);
pub(super) const REPLICA_ANNOUNCE_IP: Setting = Setting::live(
    "replica-announce-ip",
    "The address under which the primary lists this server; empty is the one that it connects from.",
    |s| s.replica_announce_ip.clone(),
    |s, v| put(&mut s.replica_announce_ip, announced(v)),
);
pub(super) const REPLICA_ANNOUNCE_PORT: Setting = Setting::live(
    "replica-announce-port",
    "The port under which the primary lists this server; 0 is its own.",
    |s| s.replica_announce_port.to_string(),
    |s, v| put(&mut s.replica_announce_port, integer(v, 0..=65_535)),
);
pub(super) const REPLICA_PRIORITY: Setting = Setting::live(
    "replica-priority",
    "Which replica Sentinel promotes: one of the lowest; 0 is never.",
    |s| s.replica_priority.to_string(),
    |s, v| put(&mut s.replica_priority, integer(v, 0..=I32)),
);
pub(super) const REPLICA_SERVE_STALE_DATA: Setting = Setting::live(
    "replica-serve-stale-data",
    "Whether a replica whose link is down answers from what it has; else with MASTERDOWN.",
    |s| yes_no(s.replica_serve_stale_data),
    |s, v| put(&mut s.replica_serve_stale_data, boolean(v)),
);
pub(super) const REPLICAOF: Setting = Setting::fixed(
    "replicaof",
    "<host> <port> of the primary that is followed from the start; REPLICAOF changes it. Empty, or no one: this is a primary.",
    |s| s.replicaof.as_ref().map_or(String::new(), ToString::to_string),
    |s, v| put(&mut s.replicaof, primary(v)),
)
.of_words();
pub(super) const MASTERAUTH: Setting = Setting::live(
    "masterauth",
    "The password that the primary is given; empty is none.",
    |s| s.masterauth.0.clone(),
    |s, v| put(&mut s.masterauth, Ok(Secret(v.to_owned()))),
)
.secret();
pub(super) const MASTERUSER: Setting = Setting::live(
    "masteruser",
    "The user that the primary is named; empty is default.",
    |s| s.masteruser.0.clone(),
    |s, v| put(&mut s.masteruser, Ok(Secret(v.to_owned()))),
)
.secret();
pub(super) const REPL_LOG_SIZE: Setting = Setting::fixed(
    "repl-log-size",
    "Bytes of the log that are kept for replicas that are behind or away; who falls behind further gets a snapshot.",
    |s| s.repl_log_size.to_string(),
    |s, v| put(&mut s.repl_log_size, memory(v, MIB..=i64::MAX).map(|bytes| bytes as u64)),
);
pub(super) const REPL_SNAPSHOT_MAX_AGE: Setting = Setting::fixed(
    "repl-snapshot-max-age",
    "Seconds that a replica may take to read a snapshot, which holds back storage, or to come back for the rest of it.",
    |s| s.repl_snapshot_max_age_s.to_string(),
    |s, v| put(&mut s.repl_snapshot_max_age_s, integer(v, 1..=I32)),
);
pub(super) const REPL_TIMEOUT: Setting = Setting::live(
    "repl-timeout",
    "Seconds without a sign of life after which a replica, or a primary, is taken for gone.",
    |s| s.repl_timeout_s.to_string(),
    |s, v| put(&mut s.repl_timeout_s, integer(v, 1..=I32)),
);
pub(super) const REPLICA_ANNOUNCED: Setting = Setting::live(
    "replica-announced",
    "Whether Sentinel is to list this server, while it is a replica.",
    |s| yes_no(s.replica_announced),
    |s, v| put(&mut s.replica_announced, boolean(v)),
);
pub(super) const REPLICA_READ_ONLY: Setting = Setting::fixed(
    "replica-read-only",
    "Always yes.",
    |_| "yes".to_owned(),
    |_, v| only(v, "yes", "a replica never takes writes of its own"),
);

/// What a primary takes as an address, or nothing.
fn announced(text: &str) -> Result<String, Refusal> {
    let is_good = text.is_empty() || is_address(text);
    if is_good { Ok(text.to_owned()) } else { Err("argument must be an address or a name".to_owned()) }
}
