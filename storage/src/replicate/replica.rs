//! Being a replica: carrying out the units of another store's log, and ending that.

use std::path::PathBuf;

use super::{Position, Units};
use crate::Error;
use crate::lsn::Lsn;
use crate::store::Store;

/// Told what became of units: the position of the last of them once they are durable as `appendfsync` asks.
pub type Applied = Box<dyn FnOnce(Result<Position, Error>) + Send>;

impl Store {
    /// Makes the store a replica, on which nobody but [`Store::apply`] writes, or ends that. What would delete, fail or tidy up
    /// by itself waits meanwhile. Units that were submitted before and change something are refused with `ReadOnly`.
    pub fn set_replica(&self, _replica: bool) {}

    /// Carries out the next units of the primary's log: the same units under the same LSNs and terms, each whole or not at all.
    /// What is known already is passed over. Does not wait: `Err` gives them back while too many are queued; ask again when
    /// some of those before are `done`. `done` is called from the committer.
    ///
    /// Errors that `done` is told: `Refused` when the units do not follow on what is there or do not fit it, `ReadOnly` when
    /// the store is no replica; after these only an export helps. `NoSpace` as for any write.
    pub fn apply(&self, units: Units, done: Applied) -> Result<(), (Units, Applied)> {
        drop(units);
        done(Err(Error::Refused("this version applies nothing".into())));
        Ok(())
    }

    /// Ends being a replica, and begins a new term, which is synced when this returns. Answers the term.
    pub fn promote(&self) -> Result<u64, Error> {
        Err(Error::Refused("this version promotes nothing".into()))
    }

    /// Writes what the log has after this unit to a sealed file in `<dir>/rollback`, from which [`crate::read_rollback`] reads
    /// it; none when there is nothing. To be called before an export is installed. Answers the file and the number of units.
    pub fn rollback_tail(&self, _common: Lsn) -> Result<Option<(PathBuf, u64)>, Error> {
        Ok(None)
    }

    /// A hash of all that a replica must have as its primary has: documents with their records, versions and expiries,
    /// collections with their options, definitions of indexes; of the same LSN. Reads everything.
    pub fn content_hash(&self) -> Result<(Position, [u8; 32]), Error> {
        Err(Error::Refused("this version hashes nothing".into()))
    }
}
