//! Figures of an open store. Every one is counted or measured where it happens.

use crate::lsn::Lsn;
use crate::measured::Measured;

/// A store's figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Collections of all databases.
    pub collections: u64,
    /// Documents of all collections.
    pub documents: u64,
    /// The last unit handed to the operating system.
    pub lsn_written: Lsn,
    /// The last unit synced.
    pub lsn_durable: Lsn,
    /// The last unit in the engine's checkpoint.
    pub lsn_applied: Lsn,
    /// Groups committed since the start.
    pub groups: u64,
    /// Units committed since the start.
    pub units: u64,
    /// Bytes appended to the log since the start.
    pub log_bytes_written: u64,
    /// Groups that were refused since the disk had no room for them.
    pub groups_refused: u64,
    /// The log's segments.
    pub log_segments: u64,
    /// Bytes of the log's segments.
    pub log_disk_bytes: u64,
    /// Bytes of the engine's files.
    pub engine_disk_bytes: u64,
    /// Checkpoints made since the start.
    pub checkpoints: u64,
    /// When the last one was written, milliseconds since 1970; at first when the store was opened.
    pub checkpointed_ms: u64,
    /// Bytes of documents and index entries that no checkpoint has written yet.
    pub write_memory_bytes: u64,
    /// Bytes of index pages in memory.
    pub index_memory_bytes: u64,
    /// Index pages read from the engine.
    pub index_loads: u64,
    /// Index pages dropped from memory.
    pub index_evictions: u64,
    /// Bytes of cached documents.
    pub cache_bytes: u64,
    /// Documents found in the cache.
    pub cache_hits: u64,
    /// Documents read from the engine.
    pub cache_misses: u64,
    /// Cached documents that made room for others; those in runs are not counted.
    pub cache_evictions: u64,
    /// Documents deleted because their time had come, since the start.
    pub ttl_deleted: u64,
    /// Keys that commands looked for to read them, and that were there.
    pub key_hits: u64,
    /// The same of those that were not there.
    pub key_misses: u64,
    /// Keys that were deleted since they had expired.
    pub keys_expired: u64,
    /// Looks for such documents since the start.
    pub ttl_sweeps: u64,
    /// Units replayed from the log at the start.
    pub replayed_units: u64,
}

/// What was measured of each, since the store was opened.
#[derive(Debug, Clone)]
pub struct Timings {
    /// Syncs of the log, microseconds.
    pub syncs_us: Measured,
    /// Groups, units.
    pub group_units: Measured,
    /// Checkpoints, from their request to their end, microseconds.
    pub checkpoints_us: Measured,
}
