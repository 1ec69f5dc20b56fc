//! How a connection's last query came to its answer, for whoever finds that it took long.

use std::time::Instant;

use parking_lot::Mutex;

use crate::query::exec::Examined;

/// What a query did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// How documents were found, in the words of DOC.EXPLAIN, and by which index: `IXSCAN by_age`. That of the first collection
    /// which was looked at; empty where a cursor went on.
    pub plan: String,
    /// What was looked at.
    pub examined: Examined,
}

/// Where a query says it. Who began later writes over it, so what is asked for is told by when its request came.
#[derive(Debug, Default)]
pub struct Worked(Mutex<Option<(Instant, Work)>>);

impl Worked {
    /// Adds to what the request did that came then.
    pub(crate) fn note(&self, started: Instant, add: impl FnOnce(&mut Work)) {
        let mut last = self.0.lock();
        match &mut *last {
            Some((at, work)) if *at == started => add(work),
            other => {
                let mut work = Work::default();
                add(&mut work);
                *other = Some((started, work));
            }
        }
    }

    /// Forgets it: the request is run again from the beginning.
    pub fn forget(&self) {
        *self.0.lock() = None;
    }

    /// What the request did that came then, where it was a query.
    pub fn of(&self, started: Instant) -> Option<Work> {
        self.0.lock().as_ref().filter(|(at, _)| *at == started).map(|(_, work)| work.clone())
    }
}
