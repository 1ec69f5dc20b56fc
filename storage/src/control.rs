//! What the committer shares with the store's handle: the policy of syncs, the segment being written, and what it counts.
//!
//! Owns no work. The committer alone writes the figures; others read them at any time.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::commit::{GROUP_UNITS_MAX, now_ms};
use crate::measured::Measured;
use crate::options::FsyncPolicy;

/// The longest checkpoint that is told apart, microseconds: an hour.
const CHECKPOINT_US_MAX: u64 = 3_600_000_000;

/// What the committer shares with the store's handle and with the thread that syncs once a second.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) fsync: AtomicU8,
    /// The segment being written, for the background sync. Held while the LSN is read, so that the file is the right one.
    pub(crate) sync_target: Mutex<Option<(Arc<File>, PathBuf)>>,
    pub(crate) groups: AtomicU64,
    pub(crate) units: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    /// When the last one was written, milliseconds since 1970; at first when the store was opened.
    pub(crate) checkpointed_ms: AtomicU64,
    pub(crate) lsn_applied: AtomicU64,
    pub(crate) keys_expired: AtomicU64,
    /// Bytes of index entries that no checkpoint has begun to write yet.
    pub(crate) recent_bytes: AtomicU64,
    /// Bytes of those that one is writing.
    pub(crate) frozen_bytes: AtomicU64,
    /// Bytes of index pages that are changed and not written.
    pub(crate) dirty_bytes: AtomicU64,
    /// Groups that the disk had no room for.
    pub(crate) groups_refused: AtomicU64,
    /// Less is free than the reserve and what is still to be written, so groups are refused.
    pub(crate) space_low: AtomicBool,
    /// What was free when it was looked last; `u64::MAX` where the system does not say.
    pub(crate) disk_free: AtomicU64,
    /// Units of each group.
    pub(crate) group_units: Mutex<Measured>,
    /// What checkpoints took, from their request to their end, microseconds.
    pub(crate) checkpoints_us: Mutex<Measured>,
}

impl Control {
    pub(crate) fn new(policy: FsyncPolicy) -> Control {
        let control = Control {
            fsync: AtomicU8::new(0),
            sync_target: Mutex::new(None),
            groups: AtomicU64::new(0),
            units: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            checkpointed_ms: AtomicU64::new(now_ms()),
            lsn_applied: AtomicU64::new(0),
            keys_expired: AtomicU64::new(0),
            recent_bytes: AtomicU64::new(0),
            frozen_bytes: AtomicU64::new(0),
            dirty_bytes: AtomicU64::new(0),
            groups_refused: AtomicU64::new(0),
            space_low: AtomicBool::new(false),
            disk_free: AtomicU64::new(u64::MAX),
            // A job may have more units than end a group.
            group_units: Mutex::new(Measured::up_to(64 * GROUP_UNITS_MAX as u64)),
            checkpoints_us: Mutex::new(Measured::up_to(CHECKPOINT_US_MAX)),
        };
        control.set_fsync(policy);
        control
    }

    pub(crate) fn set_fsync(&self, policy: FsyncPolicy) {
        let code = match policy {
            FsyncPolicy::Always => 0,
            FsyncPolicy::EverySecond => 1,
            FsyncPolicy::No => 2,
        };
        self.fsync.store(code, Ordering::Release);
    }

    pub(crate) fn fsync(&self) -> FsyncPolicy {
        match self.fsync.load(Ordering::Acquire) {
            0 => FsyncPolicy::Always,
            1 => FsyncPolicy::EverySecond,
            _ => FsyncPolicy::No,
        }
    }
}
