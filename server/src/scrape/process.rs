//! Figures of the process, as the system counts it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Family, Kind, gauge, many};
use crate::{memory, process};

pub(super) const FAMILIES: &[Family] = &[
    many(
        Kind::Gauge,
        "veddb_build_info",
        "1, of the version that runs and the cipher that it seals with",
        &["version", "cipher"],
        |_, out| {
            out.put(&[env!("CARGO_PKG_VERSION"), veddb_storage::seal::CIPHER], 1.0);
        },
    ),
    gauge("veddb_start_timestamp_seconds", "When the server was ready, since 1970", |s| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Some(now.saturating_sub(s.server.started.elapsed()).as_secs_f64())
    }),
    many(
        Kind::Counter,
        "veddb_process_cpu_seconds_total",
        "Processor time of all its threads: user, system",
        &["mode"],
        |_, out| {
            if let Some(times) = process::times() {
                out.put(&["user"], times.user_s);
                out.put(&["system"], times.system_s);
            }
        },
    ),
    gauge("veddb_process_threads", "Threads", |_| process::threads().map(|count| count as f64)),
    gauge("veddb_process_open_files", "Open file descriptors, one of them to count them", |_| {
        process::open_files().map(|count| count as f64)
    }),
    gauge("veddb_process_open_files_limit", "How many there may be", |_| {
        process::open_files_max().map(|count| count as f64)
    }),
    gauge("veddb_process_anonymous_memory_bytes", "What it took itself: INFO's used_memory", |_| {
        memory::total().map(|bytes| bytes as f64)
    }),
    gauge(
        "veddb_process_resident_memory_bytes",
        "The same with the files that the system keeps in memory for it",
        |_| memory::resident().map(|bytes| bytes as f64),
    ),
    gauge("veddb_process_resident_memory_peak_bytes", "The most that this was", |_| {
        memory::peak().map(|bytes| bytes as f64)
    }),
    gauge("veddb_memory_limit_bytes", "What it may take itself (maxmemory); 0 is no limit", |s| {
        Some(s.settings.maxmemory as f64)
    }),
    gauge("veddb_is_out_of_memory", "1 while commands that take more memory are refused", |s| {
        Some(f64::from(u8::from(s.server.is_out_of_memory())))
    }),
];
