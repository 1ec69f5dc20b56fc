//! Figures of the process, as the system counts it.

use super::{Family, Kind, Read, Samples, gauge, of_process};
use crate::{memory, process};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "veddb_build_info",
        help: "1, of the version that runs and the cipher that it seals with",
        kind: Kind::Gauge,
        read: Read::Process(&["version", "cipher"], |out| {
            out.put(&[env!("CARGO_PKG_VERSION"), veddb_storage::seal::CIPHER], 1.0);
        }),
    },
    gauge("veddb_start_timestamp_seconds", "When the data were open, since 1970, by the clock of then", |s| {
        Some(s.server.started_ms as f64 / 1000.0)
    }),
    Family {
        name: "veddb_process_cpu_seconds_total",
        help: "Processor time of all its threads: user, system",
        kind: Kind::Counter,
        read: Read::Process(&["mode"], |out| {
            if let Some(times) = process::times() {
                out.put(&["user"], times.user_s);
                out.put(&["system"], times.system_s);
            }
        }),
    },
    of_process("veddb_process_threads", "Threads", |out| one(out, process::threads())),
    of_process("veddb_process_open_files", "Open file descriptors, one of them to count them", |out| {
        one(out, process::open_files());
    }),
    of_process("veddb_process_open_files_limit", "How many there may be", |out| one(out, process::open_files_max())),
    of_process("veddb_process_anonymous_memory_bytes", "What it took itself: INFO's used_memory", |out| {
        one(out, memory::total());
    }),
    of_process(
        "veddb_process_resident_memory_bytes",
        "The same with the files that the system keeps in memory for it",
        |out| one(out, memory::resident()),
    ),
    of_process("veddb_process_resident_memory_peak_bytes", "The most that this was", |out| one(out, memory::peak())),
    gauge("veddb_memory_limit_bytes", "What it may take itself (maxmemory); 0 is no limit", |s| {
        Some(s.settings.maxmemory as f64)
    }),
    gauge("veddb_is_out_of_memory", "1 while commands that take more memory are refused", |s| {
        Some(f64::from(u8::from(s.server.is_out_of_memory())))
    }),
];

/// None where the system does not say.
fn one(out: &mut Samples<'_>, count: Option<u64>) {
    if let Some(count) = count {
        out.put(&[], count as f64);
    }
}
