//! Figures of the store: the committer, the log, checkpoints, caches, the engine, the disk.

use veddb_storage::{Activity, Stats};

use super::{Data, Family, Kind, MICROSECONDS, Sight, counter, gauge, many};

/// Buckets of syncs: from 16 us, doubled, to 33.6 s.
const SYNC_BUCKETS: (u32, u32) = (4, 25);
/// Of checkpoints: from 1 ms to 4295 s.
const CHECKPOINT_BUCKETS: (u32, u32) = (10, 32);
/// Of groups, units: 1, up to 3, up to 7, and so on up to 4095.
const GROUP_BUCKETS: (u32, u32) = (1, 12);

/// A figure of [`Stats`] by its name: the closure that reads it would say nothing else, forty times.
macro_rules! of_stats {
    ($make:ident, $name:literal, $help:literal, $field:ident) => {
        $make($name, $help, |s| Some(s.stats.$field as f64))
    };
}

pub(super) const FAMILIES: &[Family] = &[
    many(
        Kind::Gauge,
        "veddb_log_lsn",
        "The last unit that is written (handed to the system), durable (synced), applied (in a checkpoint)",
        &["state"],
        |s, out| {
            let Stats { lsn_written, lsn_durable, lsn_applied, .. } = s.stats;
            for (state, lsn) in [("written", lsn_written), ("durable", lsn_durable), ("applied", lsn_applied)] {
                out.put(&[state], lsn as f64);
            }
        },
    ),
    of_stats!(counter, "veddb_log_written_bytes_total", "Bytes appended to the log", log_bytes_written),
    of_stats!(gauge, "veddb_log_segments", "Files of the log", log_segments),
    of_stats!(gauge, "veddb_log_disk_bytes", "What these take", log_disk_bytes),
    many(
        Kind::Histogram,
        "veddb_log_sync_duration_seconds",
        "What bringing the log to the disk took",
        &[],
        |s, out| {
            if let Some(Data { timings, .. }) = &s.data {
                out.times(&[], &timings.syncs_us, SYNC_BUCKETS);
            }
        },
    ),
    of_stats!(
        counter,
        "veddb_commit_groups_total",
        "Groups of writes that were committed, with one sync each at appendfsync always",
        groups
    ),
    of_stats!(counter, "veddb_commit_units_total", "Atomic changes in these", units),
    of_stats!(
        counter,
        "veddb_commit_groups_refused_total",
        "Groups that were refused since the disk had no room",
        groups_refused
    ),
    many(Kind::Histogram, "veddb_commit_group_units", "Units of one group", &[], |s, out| {
        if let Some(Data { timings, .. }) = &s.data {
            out.numbers(&[], &timings.group_units, GROUP_BUCKETS);
        }
    }),
    of_stats!(counter, "veddb_checkpoints_total", "Checkpoints", checkpoints),
    many(
        Kind::Histogram,
        "veddb_checkpoint_duration_seconds",
        "What writing a checkpoint took, beside the committer",
        &[],
        |s, out| {
            if let Some(Data { timings, .. }) = &s.data {
                out.times(&[], &timings.checkpoints_us, CHECKPOINT_BUCKETS);
            }
        },
    ),
    gauge(
        "veddb_checkpoint_timestamp_seconds",
        "When the last one ended, since 1970; at first when the store was opened",
        |s| Some(s.stats.checkpointed_ms as f64 / 1000.0),
    ),
    of_stats!(gauge, "veddb_replayed_units", "Units that the last start read from the log", replayed_units),
    of_stats!(
        gauge,
        "veddb_write_memory_bytes",
        "Documents and index entries that no checkpoint has written yet",
        write_memory_bytes
    ),
    gauge("veddb_write_memory_limit_bytes", "How much of it causes a checkpoint (maxmemory-writes)", |s| {
        Some(s.settings.maxmemory_writes as f64)
    }),
    of_stats!(gauge, "veddb_cache_bytes", "Documents in the cache, with 160 bytes for each entry", cache_bytes),
    gauge("veddb_cache_limit_bytes", "What these may take (maxmemory-cache)", |s| {
        Some(s.settings.maxmemory_cache as f64)
    }),
    of_stats!(
        counter,
        "veddb_cache_hits_total",
        "Documents read one by one that were in the cache; those of scans are not counted",
        cache_hits
    ),
    of_stats!(
        counter,
        "veddb_cache_misses_total",
        "Documents read one by one that were looked for in the engine",
        cache_misses
    ),
    of_stats!(
        counter,
        "veddb_cache_evictions_total",
        "Documents that made room for others; those of scans are not counted",
        cache_evictions
    ),
    of_stats!(gauge, "veddb_index_memory_bytes", "Index pages in memory", index_memory_bytes),
    gauge("veddb_index_memory_limit_bytes", "What these may take (maxmemory-index)", |s| {
        Some(s.settings.maxmemory_index as f64)
    }),
    of_stats!(counter, "veddb_index_page_loads_total", "Index pages read from the engine", index_loads),
    of_stats!(counter, "veddb_index_page_evictions_total", "Index pages that made room for others", index_evictions),
    of_stats!(gauge, "veddb_engine_disk_bytes", "The engine's files", engine_disk_bytes),
    gauge("veddb_engine_tables", "The engine's tables", |s| engine(s, |engine| engine.tables as f64)),
    gauge(
        "veddb_engine_compactor_running",
        "Runs of the engine's compactor that go on, but for those of a rotation; most find nothing to do",
        |s| engine(s, |engine| engine.compactor_running as f64),
    ),
    counter(
        "veddb_engine_compactor_runs_total",
        "Runs of it that have ended, those that found nothing to do among them",
        |s| engine(s, |engine| engine.compactor_runs as f64),
    ),
    counter(
        "veddb_engine_compactor_seconds_total",
        "What these took, of each a millisecond that it waits; much more than that is work",
        |s| engine(s, |engine| engine.compactor_us as f64 / MICROSECONDS),
    ),
    gauge("veddb_disk_free_bytes", "What is free on the disk of the data directory, looked at once a second", |s| {
        Some(s.data.as_ref()?.store.disk_free_bytes()? as f64)
    }),
    gauge("veddb_disk_reserve_bytes", "What is left free beside what is still to be written (disk-reserve)", |s| {
        Some(s.settings.disk_reserve as f64)
    }),
    gauge(
        "veddb_is_out_of_space",
        "1 while writes are refused since less is free than the reserve and what is still to be written",
        |s| Some(f64::from(u8::from(s.data.as_ref()?.store.is_out_of_space()))),
    ),
    of_stats!(gauge, "veddb_collections", "Collections of all databases", collections),
    of_stats!(
        gauge,
        "veddb_documents",
        "Documents of all collections, with those that have expired and are still to be deleted",
        documents
    ),
    of_stats!(
        counter,
        "veddb_expired_documents_total",
        "Documents that were deleted since their time had come",
        ttl_deleted
    ),
    many(
        Kind::Counter,
        "veddb_key_lookups_total",
        "Keys that commands looked for to read them, by whether they were there: hit, miss",
        &["result"],
        |s, out| {
            out.put(&["hit"], s.stats.key_hits as f64);
            out.put(&["miss"], s.stats.key_misses as f64);
        },
    ),
    of_stats!(counter, "veddb_expired_keys_total", "Keys that were deleted since their time had come", keys_expired),
    of_stats!(counter, "veddb_expiry_sweeps_total", "Looks for these", ttl_sweeps),
    many(Kind::Gauge, "veddb_keys", "Keys of a database that has any", &["database"], |s, out| {
        super::collections::keys(s, out, |count, _| count);
    }),
    many(Kind::Gauge, "veddb_keys_expiring", "Those of them that expire", &["database"], |s, out| {
        super::collections::keys(s, out, |_, expiring| expiring);
    }),
];

fn engine(s: &Sight<'_>, figure: fn(&Activity) -> f64) -> Option<f64> {
    s.data.as_ref().map(|data| figure(&data.engine))
}
