//! Log sequence numbers, and the order between the four of them that a store keeps.

/// The number of one atomic unit in the log. Dense: every unit has the one after its predecessor's; the first is 1.
///
/// At every moment `lsn_applied <= lsn_durable <= lsn_written`, where
/// - `lsn_written` is the last unit handed to the operating system,
/// - `lsn_durable` the last one synced (what `appendfsync always` waits for before it answers), and
/// - `lsn_applied` the last one contained in the key-value engine's checkpoint; the log before it may be trimmed.
///
/// A [`crate::View`] shows the units up to its own LSN, which is at most `lsn_written` (`lsn_durable` at `always`).
pub type Lsn = u64;
