//! The settings of the HTTP port, and of what is read there.

use super::kind::{addresses, integer};
use super::table::{I32, Setting, put};

pub(super) const HTTP_BIND: Setting = Setting::fixed(
    "http-bind",
    "The addresses that http-port is listened on, as for bind.",
    |s| s.http.bind.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    |s, v| put(&mut s.http.bind, addresses(v)),
)
.of_words();
pub(super) const HTTP_PORT: Setting = Setting::fixed(
    "http-port",
    "The TCP port of /metrics, /healthz and /readyz, on the addresses of http-bind; 0 is none.",
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
    "Seconds for which a replica's data may be older than the primary's before it says by /readyz that it is not ready; 0 is no bound.",
    |s| s.http.lag_s_max.to_string(),
    |s, v| put(&mut s.http.lag_s_max, integer(v, 0..=I32)),
);
