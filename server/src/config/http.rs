//! The settings of the HTTP port, and of what is read there.

use super::kind::integer;
use super::table::{I32, Setting, put};

pub(super) const HTTP_PORT: Setting = Setting::fixed(
    "http-port",
    "The TCP port of /metrics, /healthz and /readyz, on the addresses of bind; 0 is none.",
    |s| s.http.port.to_string(),
    |s, v| put(&mut s.http.port, integer(v, 0..=65_535)),
);
pub(super) const METRICS_MAX_COLLECTIONS: Setting = Setting::live(
    "metrics-max-collections",
    "Collections that /metrics shows one by one, with their indexes: those with the most documents.",
    |s| s.http.collections_max.to_string(),
    |s, v| put(&mut s.http.collections_max, integer(v, 0..=10_000)),
);
pub(super) const READY_MAX_LAG: Setting = Setting::live(
    "ready-max-lag",
    "Seconds without a word from the primary after which a replica says by /readyz that it is not ready; 0 is never.",
    |s| s.http.lag_s_max.to_string(),
    |s, v| put(&mut s.http.lag_s_max, integer(v, 0..=I32)),
);
