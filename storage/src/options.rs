//! What a store is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use crate::Error;

/// When an acknowledged write is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before it is acknowledged.
    Always,
    /// About a second later.
    EverySecond,
    /// When the operating system likes.
    No,
}

/// Called once, from one of the store's threads, when the store can no longer be trusted to keep what it is given.
pub type OnFatal = Arc<dyn Fn(&Error) + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// How many databases there are, 1 to 255.
    pub databases: u8,
    /// When acknowledged writes are on disk.
    pub fsync: FsyncPolicy,
    /// Memory for index pages, bytes.
    pub index_memory_bytes: usize,
    /// Memory for opened documents, bytes.
    pub cache_memory_bytes: usize,
    /// Memory for documents that no checkpoint has written yet, bytes; up to four times this while one is being
    /// written (then writers wait).
    pub write_memory_bytes: usize,
    /// Memory for sorting the entries of an index that is being built, bytes.
    pub index_build_memory_bytes: usize,
    /// A log segment is closed when it is this large, bytes.
    pub log_segment_bytes: u64,
    /// Writes are refused (`NOSPACE`) while less than this is free on the disk; 0: no reserve.
    pub disk_reserve_bytes: u64,
    /// Milliseconds between two looks for expired documents.
    pub ttl_sweep_ms: u64,
    /// How much of the log is kept for followers beside what the next start needs, bytes. Whoever falls further behind loses
    /// its place.
    pub log_pinned_bytes_max: u64,
    /// How long the log is kept for a follower that went away, milliseconds.
    pub log_pin_linger_ms: u64,
    /// How much of the log is kept for whoever may want to know what changed, beside what the next start needs, bytes; whole
    /// segments, the newest first. See [`crate::View::changes`].
    pub log_kept_bytes: u64,
    /// How old an export may become, milliseconds.
    pub export_age_ms_max: u64,
    /// The store begins as a replica: see [`crate::Store::set_replica`].
    pub replica: bool,
    /// Jobs that may wait for the committer.
    pub queue_length: usize,
    /// Told of the failure that ends the store.
    pub on_fatal: OnFatal,
}

impl Options {
    /// The defaults, for this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            databases: 16,
            fsync: FsyncPolicy::Always,
            index_memory_bytes: 64 << 20,
            cache_memory_bytes: 64 << 20,
            write_memory_bytes: 48 << 20,
            index_build_memory_bytes: 64 << 20,
            log_segment_bytes: 64 << 20,
            disk_reserve_bytes: 256 << 20,
            ttl_sweep_ms: 1000,
            log_pinned_bytes_max: 1 << 30,
            log_pin_linger_ms: 3_600_000,
            log_kept_bytes: 0,
            export_age_ms_max: 3_600_000,
            replica: false,
            queue_length: 4096,
            on_fatal: Arc::new(|_| {}),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("dir", &self.dir).finish_non_exhaustive()
    }
}
