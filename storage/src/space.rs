//! Space on the disk: refusing writes while there is still room for checkpoints, and giving up before that what of the log is kept
//! for those alone who may want to know what changed.
//!
//! Invariant: nothing that the next start needs, or that a follower was promised, goes for want of space.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::checkpoint;
use crate::commit::Committer;
use crate::control::Control;
use crate::log::{AppendError, Kept, takes};
use crate::shared::Shared;

/// How much log is written between two looks at the free space.
const SPACE_CHECK_BYTES: u64 = 4 << 20;

/// Bytes that are free where this directory is.
pub(crate) fn free_bytes(dir: &Path) -> u64 {
    // A file system that cannot say how full it is will say so when it is full.
    rustix::fs::statvfs(dir).map_or(u64::MAX, |s| s.f_bavail * s.f_frsize)
}

/// How many bytes of the log are kept for whoever may want to know what changed: none while less than twice the reserve is free.
pub(crate) fn kept_bytes(shared: &Shared, disk_reserve_bytes: u64) -> u64 {
    let is_short = free_bytes(&shared.log_dir) < disk_reserve_bytes.saturating_mul(2);
    if is_short { 0 } else { shared.feed.kept_bytes() }
}

impl Committer {
    /// Refuses writes while there is still room to write checkpoints and to compact: the engine cannot go on after a
    /// full disk, the log can.
    pub(crate) fn check_space(&mut self) -> Result<(), AppendError> {
        let written = self.log.bytes_written();
        let was_low = self.control.space_low.load(Ordering::Relaxed);
        let due = was_low || written >= self.space_checked_at + SPACE_CHECK_BYTES || written == 0;
        if self.disk_reserve_bytes == 0 || !due {
            return Ok(());
        }
        self.space_checked_at = written;
        // What is in memory still has to be written, and stays twice until the log before it is trimmed.
        let tables = &self.working.sources;
        let pending = tables.active.bytes()
            + tables.frozen.as_ref().map_or(0, |t| t.bytes())
            + self.working.dirty_bytes
            + self.working.recent_bytes;
        let is_low = || free_bytes(&self.shared.log_dir) < self.disk_reserve_bytes.saturating_add(pending as u64);
        // Without writes there are no checkpoints, which would do it.
        let space_low = is_low() && (!self.give_up_kept() || is_low());
        self.control.space_low.store(space_low, Ordering::Relaxed);
        if space_low { Err(AppendError::NoSpace) } else { Ok(()) }
    }

    /// Appends the group to the log; where that is full once more without what is kept there for those alone who may want to know
    /// what changed.
    pub(crate) fn append_to_log(&mut self, units: u32) -> Result<(), AppendError> {
        match self.log.append(&self.group, units) {
            Err(AppendError::NoSpace) if takes(&self.group) && self.give_up_kept() => {
                self.log.append(&self.group, units)
            }
            other => other,
        }
    }

    /// Gives up what of the log is kept for those alone who may want to know what changed; whether there was any.
    fn give_up_kept(&self) -> bool {
        let after = self.shared.feed.wanted_after(false);
        let kept = Kept { after, wanted_bytes_max: self.log_pinned_bytes_max, any_bytes: 0 };
        match checkpoint::trim(&self.shared, kept, self.lsn_applied, self.log.current_segment()) {
            Ok(segments) => {
                if segments > 0 {
                    tracing::warn!(segments, "little space is left: the log that change streams may read is given up");
                }
                segments > 0
            }
            Err(error) => {
                tracing::warn!(%error, "little space is left, and the log cannot be trimmed");
                false
            }
        }
    }
}

/// Looks how much is free beside the committer, which looks only when it writes: whoever asks whether writes are refused is told of
/// now, and while they would be the committer looks again before each group.
pub(crate) fn look(shared: &Shared, control: &Control, disk_reserve_bytes: u64) {
    let free = free_bytes(&shared.log_dir);
    control.disk_free.store(free, Ordering::Relaxed);
    let tables = {
        let state = shared.state.read();
        state.sources.active.bytes() + state.sources.frozen.as_ref().map_or(0, |table| table.bytes())
    };
    let indexes = control.recent_bytes.load(Ordering::Relaxed) + control.dirty_bytes.load(Ordering::Relaxed);
    let wanted = disk_reserve_bytes.saturating_add(tables as u64).saturating_add(indexes);
    control.space_low.store(disk_reserve_bytes > 0 && free < wanted, Ordering::Relaxed);
}

/// Trims the log beside the committer, after less of it is to be kept.
pub(crate) fn trim_beside(shared: &Shared, control: &Control, pinned_bytes_max: u64, disk_reserve_bytes: u64) {
    // One that is no longer the current one by then stays as well.
    let Some(current) = control.sync_target.lock().as_ref().map(|(_, path)| path.clone()) else { return };
    let lsn_applied = control.lsn_applied.load(Ordering::Relaxed);
    let kept = Kept {
        after: shared.feed.wanted_after(false),
        wanted_bytes_max: pinned_bytes_max,
        any_bytes: kept_bytes(shared, disk_reserve_bytes),
    };
    if let Err(error) = checkpoint::trim(shared, kept, lsn_applied, &current) {
        tracing::warn!(%error, "the log could not be trimmed; the next checkpoint tries it again");
    }
}
