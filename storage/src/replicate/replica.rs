//! Being a replica: carrying out the units of another store's log, and ending that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{TrySendError, sync_channel};

use super::{HistoryId, Position, TermStart, Units, is_beyond_belief, promotions, term_at};
use crate::Error;
use crate::build::ask;
use crate::commit::{Job, Message};
use crate::effect::{Effect, decode_group};
use crate::lsn::Lsn;
use crate::store::{Store, drop_temporary};
use crate::transaction::Transaction;

/// Told what became of units: the position of the last of them once they are durable as `appendfsync` asks.
pub type Applied = Box<dyn FnOnce(Result<Position, Error>) + Send>;

/// Units that wait for the committer take so many bytes at most, or are a single piece.
const QUEUED_BYTES_MAX: usize = 32 << 20;

impl Store {
    /// Makes the store a replica, on which nobody but [`Store::apply`] writes, or ends that without a promotion. What would
    /// delete, fail or tidy up by itself waits meanwhile; units that change something are refused with `ReadOnly`. When this
    /// returns the committer knows. Blocks.
    pub fn set_replica(&self, replica: bool) {
        if self.shared.replica.swap(replica, Ordering::AcqRel) == replica {
            return;
        }
        if replica {
            // Whatever was committed before is seen by whoever asks for the position next. A store that is closed has no more.
            let _ = ask(&self.queue, |_| Ok(()));
        } else {
            self.begin_writing();
        }
    }

    /// Whether it is a replica.
    pub fn is_replica(&self) -> bool {
        self.shared.replica.load(Ordering::Acquire)
    }

    /// What waited while it was a replica.
    fn begin_writing(&self) {
        if let Err(error) = drop_temporary(&self.queue) {
            tracing::warn!(%error, "what an unfinished $out left behind could not be dropped");
        }
        self.shared.builds.notify();
    }

    /// Carries out the next units of the primary's log: the same units under the same LSNs and terms, each whole or not at all.
    /// What is known already is passed over. Does not wait: `Err` gives them back while too many are queued; ask again when
    /// some of those before are done. `done` is called from the committer, in order.
    ///
    /// `done` is told `Refused` when the units do not fit what is there, which only an export helps against; `OutOfStep` when
    /// some before them are missing, as after any error, and `OffLine` when others of these LSNs are here: reading on from
    /// [`Store::position`] tells what to do; `ReadOnly` when the store is no replica; `NoSpace` as for any write. What came before the
    /// unit that failed stays.
    pub fn apply(&self, units: Units, done: Applied) -> Result<(), (Units, Applied)> {
        let queued = Arc::clone(&self.shared.apply_queued);
        let bytes = units.len();
        if queued.load(Ordering::Acquire) > QUEUED_BYTES_MAX {
            return Err((units, done));
        }
        queued.fetch_add(bytes, Ordering::AcqRel);
        let apply = Apply { units, done, queued: Queued { bytes, all: queued } };
        match self.queue.try_send(Message::Apply(Box::new(apply))) {
            Err(TrySendError::Full(Message::Apply(apply))) => Err((apply.units, apply.done)),
            Err(TrySendError::Disconnected(Message::Apply(apply))) => {
                (apply.done)(Err(Error::ShuttingDown));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends being a replica, and begins a new term with a unit that does nothing, which is synced when this returns. Answers
    /// the term. Blocks.
    ///
    /// # Errors
    /// `NoSpace`: it is what it was.
    pub fn promote(&self) -> Result<u64, Error> {
        self.promote_past(0)
    }

    /// The same, to a term after more promotions than this one, in one step.
    ///
    /// # Errors
    /// `Refused`: there is no such term. `NoSpace`. It is what it was.
    pub fn promote_past(&self, other: u64) -> Result<u64, Error> {
        let (answer, answers) = sync_channel(1);
        let message = Message::Promote { past: promotions(other), answer };
        self.queue.send(message).map_err(|_| Error::ShuttingDown)?;
        let term = answers.recv().map_err(|_| Error::ShuttingDown)??;
        self.begin_writing();
        Ok(term)
    }
}

/// Counts bytes as queued until it is dropped.
struct Queued {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Units on their way to the committer.
pub(crate) struct Apply {
    units: Units,
    done: Applied,
    queued: Queued,
}

impl Apply {
    /// The term of the units.
    pub(crate) fn term(&self) -> u64 {
        self.units.term()
    }

    /// Tells that they cannot be carried out.
    pub(crate) fn refuse(self, error: Error) {
        (self.done)(Err(error));
    }

    /// As a job for a store whose last unit is `last`, and whose units up to `logged` have these terms, those after it that of the
    /// units here; none, and somebody is told, when they do not follow on it.
    pub(crate) fn into_job(
        self,
        last: Lsn,
        (terms, logged): (&[TermStart], Lsn),
        history: HistoryId,
    ) -> Option<Box<dyn Job>> {
        let Apply { units, done, queued } = self;
        let position = Position { history, term: units.term(), lsn: units.last_lsn() };
        let known = (last + 1).saturating_sub(units.first_lsn());
        let effects = if units.first_lsn() > last + 1 {
            Err(Error::OutOfStep { expected: last + 1, found: units.first_lsn() })
        } else if let Some(lsn) = first_other(terms, logged, &units) {
            Err(Error::OffLine { lsn, here: term_at(terms, lsn), there: units.term() })
        } else if is_beyond_belief(term_at(terms, logged), units.term()) {
            Err(Error::Refused(format!("the primary's term, {:x}, is beyond belief", units.term())))
        } else if known >= u64::from(units.count()) {
            Ok(Vec::new())
        } else {
            let decoded = decode_group(units.bytes(), units.count());
            let refused = || Error::Refused("what the primary sent are not units".into());
            decoded.ok_or_else(refused).map(|all| all.into_iter().skip(known as usize).collect())
        };
        match effects {
            Ok(units) => Some(Box::new(ApplyJob { units, position, done, failed: None, _queued: queued })),
            Err(error) => {
                done(Err(error));
                None
            }
        }
    }
}

/// The first of these units of whose LSN there is another one here, in a log that ends at `logged`: of another term. An LSN alone does
/// not tell two units apart.
fn first_other(terms: &[TermStart], logged: Lsn, units: &Units) -> Option<Lsn> {
    let known = logged.min(units.last_lsn());
    let is_other = |lsn: &Lsn| term_at(terms, *lsn) != units.term();
    // A term's units follow each other, so where both ends are of one term all between them are.
    let ends = [units.first_lsn(), known];
    ends.into_iter().find(|lsn| units.first_lsn() <= known && is_other(lsn))
}

struct ApplyJob {
    units: Vec<Vec<Effect>>,
    /// Of the last unit.
    position: Position,
    done: Applied,
    failed: Option<Error>,
    _queued: Queued,
}

impl Job for ApplyJob {
    fn units(&self) -> usize {
        self.units.len()
    }

    fn run(&mut self, at: usize, transaction: &mut Transaction<'_>) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let effects = self.units.get_mut(at).map(std::mem::take).unwrap_or_default();
        let carried = transaction.carry_out_all(effects);
        self.failed = carried.err();
        self.failed.is_none()
    }

    fn finished(self: Box<Self>, outcome: Result<(), Error>) {
        let failed = self.failed.map_or(Ok(()), Err);
        (self.done)(outcome.and(failed).map(|()| self.position));
    }
}

impl Transaction<'_> {
    fn carry_out_all(&mut self, effects: Vec<Effect>) -> Result<(), Error> {
        let mut doubtful = Vec::new();
        effects.into_iter().try_for_each(|effect| self.carry_out(effect, &mut doubtful))?;
        doubtful.sort_unstable();
        doubtful.dedup();
        for (collection, index) in doubtful {
            self.working.build_again(self.shared, collection, self.lsn, index)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn units_of_another_term_are_not_those_that_are_here() {
        let terms = [(1, 1), (5, 10), (9, 21)].map(|(term, first_lsn)| TermStart { term, first_lsn });
        let other = |term, first, count| first_other(&terms, 30, &Units::new(first, count, term, Bytes::new()));
        for (term, first, count) in
            [(1, 1, 9), (5, 10, 11), (5, 12, 3), (9, 21, 10), (9, 25, 99), (9, 31, 5), (12, 31, 5)]
        {
            assert_eq!(other(term, first, count), None, "{term} {first} {count}");
        }
        assert_eq!(other(7, 25, 3), Some(25));
        assert_eq!(other(12, 30, 3), Some(30), "the last one that is here");
        assert_eq!(other(5, 15, 10), Some(24), "the first ones are the same, which no log can be");
    }
}
