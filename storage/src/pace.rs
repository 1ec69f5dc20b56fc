//! How background work gives way to clients: it works in short turns and waits between them, the longer the more clients do.
//!
//! Owns the count of what clients do, and the reckoning. Where a turn may end, and what is held while it waits, is for whoever
//! works to know. Works alone at full speed when nobody else does.
//!
//! Invariant: no wait is longer than a given multiple of the work before it, so the work always goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many operations of clients a second make a wait as long as the work before it; twice as many make it twice as long.
const OPERATIONS_PER_WEIGHT: f64 = 500.0;
/// The longest wait of what writes, as a multiple of the work before it: it has a tenth of the time at least.
pub(crate) const WRITING: f64 = 9.0;
/// The same of the engine's compactions, which have to keep up with what is written.
pub(crate) const COMPACTING: f64 = 5.0;
/// The same of what only reads.
pub(crate) const READING: f64 = 2.0;
/// Work shorter than this goes on: a wait has to be worth its switches.
const TURN: Duration = Duration::from_millis(2);
/// A wait is cut into pieces of this length at most, so that it ends when clients do.
const SLICE: Duration = Duration::from_millis(10);
/// After so many pieces in which clients did nothing they are taken to have gone.
const QUIET_SLICES: u32 = 5;

/// What clients do, as the work in the background sees it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    operations: AtomicU64,
    /// How many work in turns at this moment.
    working: AtomicU64,
    /// The store closes: nobody waits any more.
    over: AtomicBool,
}

impl Pace {
    /// Clients have read or written so many times.
    pub(crate) fn note(&self, operations: u64) {
        self.operations.fetch_add(operations, Ordering::Relaxed);
    }

    /// Nobody waits from now on.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Has the engine's own work give way too for as long as this is held.
    pub(crate) fn work(self: &Arc<Pace>) -> Working {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(self))
    }

    /// Whether anybody works whose work has the engine work.
    pub(crate) fn is_worked(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }

    /// Begins to work.
    pub(crate) fn turns(self: &Arc<Pace>) -> Turns {
        let now = Instant::now();
        let operations = self.operations.load(Ordering::Relaxed);
        Turns { pace: Arc::clone(self), began: now, looked: now, operations, waited: false }
    }
}

/// Held while a rotation goes on.
#[derive(Debug)]
pub(crate) struct Working(Arc<Pace>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Work in turns.
#[derive(Debug)]
pub(crate) struct Turns {
    pace: Arc<Pace>,
    /// When this turn began.
    began: Instant,
    /// When the clients were looked at last, and how much they had done.
    looked: Instant,
    operations: u64,
    waited: bool,
}

impl Turns {
    /// Whether it has waited for clients since it began.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited
    }

    /// Begins a turn now: what was waited for until now was no work.
    pub(crate) fn restart(&mut self) {
        self.began = Instant::now();
    }

    /// Waits for the work since the last wait, if it is worth a wait. `sleep` may say that the work is over.
    pub(crate) fn give_way<E>(
        &mut self,
        weight_max: f64,
        mut sleep: impl FnMut(Duration) -> Result<(), E>,
    ) -> Result<(), E> {
        let worked = self.began.elapsed();
        if worked < TURN {
            return Ok(());
        }
        let done = self.pace.operations.load(Ordering::Relaxed);
        let weight = weight(done - self.operations, self.looked.elapsed(), weight_max);
        (self.looked, self.operations) = (Instant::now(), done);
        let mut owed = worked.mul_f64(weight);
        let mut quiet = 0;
        while !owed.is_zero() && quiet < QUIET_SLICES && !self.pace.over.load(Ordering::Relaxed) {
            let slice = owed.min(SLICE);
            let before = self.pace.operations.load(Ordering::Relaxed);
            self.waited = true;
            sleep(slice)?;
            owed -= slice;
            quiet = if self.pace.operations.load(Ordering::Relaxed) == before { quiet + 1 } else { 0 };
        }
        self.began = Instant::now();
        Ok(())
    }
}

/// How long to wait after work, as a multiple of it, while clients do so many operations in this time.
fn weight(operations: u64, time: Duration, weight_max: f64) -> f64 {
    let per_second = operations as f64 / time.as_secs_f64().max(0.001);
    (per_second / OPERATIONS_PER_WEIGHT).min(weight_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_what_clients_do_up_to_its_bound() {
        let second = Duration::from_secs(1);
        assert_eq!(weight(0, second, 9.0), 0.0, "nobody works");
        assert!(weight(50, second, 9.0) < 0.2);
        assert_eq!(weight(500, second, 9.0), 1.0);
        assert_eq!(weight(1_000_000, second, 9.0), 9.0);
        assert_eq!(weight(1_000_000, second, 3.0), 3.0);
    }

    /// Sleeps as it is told to, and counts how long.
    fn waited(turns: &mut Turns, mut meanwhile: impl FnMut()) -> Duration {
        let mut total = Duration::ZERO;
        let outcome = turns.give_way(WRITING, |time| {
            total += time;
            meanwhile();
            Ok::<(), ()>(())
        });
        outcome.unwrap();
        total
    }

    fn worked(pace: &Arc<Pace>, work: Duration) -> Turns {
        let mut turns = pace.turns();
        turns.began -= work;
        turns.looked -= work;
        turns
    }

    #[test]
    fn alone_it_does_not_wait_and_beside_clients_it_does() {
        let pace = Arc::new(Pace::default());
        let work = Duration::from_millis(100);
        let mut turns = worked(&pace, work);
        assert_eq!(waited(&mut turns, || ()), Duration::ZERO);
        assert!(!turns.has_waited());
        let mut turns = worked(&pace, work);
        pace.note(10_000);
        let all = waited(&mut turns, || pace.note(100));
        assert!(all >= work.mul_f64(WRITING) && all < work.mul_f64(WRITING + 1.0), "{all:?}");
        assert!(turns.has_waited());
        assert_eq!(waited(&mut turns, || ()), Duration::ZERO, "a turn has just begun");
        let mut turns = worked(&pace, work);
        pace.note(10_000);
        assert_eq!(waited(&mut turns, || ()), SLICE * QUIET_SLICES, "the clients have gone");
        let mut turns = worked(&pace, work);
        pace.note(10_000);
        assert_eq!(turns.give_way(WRITING, |_| Err("paused")), Err("paused"));
        pace.end();
        assert_eq!(waited(&mut turns, || pace.note(100)), Duration::ZERO, "the store closes");
    }
}
