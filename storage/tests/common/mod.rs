//! What the tests of the store share: a job of one unit, random units of every kind.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod writer;

use std::sync::mpsc::{Sender, channel};

use veddb_storage::{Error, Job, Store, Transaction};

type Unit = Box<dyn FnMut(&mut Transaction<'_>) -> bool + Send>;

struct OneUnit {
    unit: Unit,
    done: Sender<Result<(), Error>>,
}

impl Job for OneUnit {
    fn units(&self) -> usize {
        1
    }
    fn run(&mut self, _: usize, transaction: &mut Transaction<'_>) -> bool {
        (self.unit)(transaction)
    }
    fn finished(self: Box<Self>, outcome: Result<(), Error>) {
        self.done.send(outcome).unwrap();
    }
}

/// Runs a unit and waits until it is committed; one that answers false is taken back.
pub(crate) fn commit(store: &Store, unit: impl FnMut(&mut Transaction<'_>) -> bool + Send + 'static) {
    let (done, wait) = channel();
    assert!(store.submit(Box::new(OneUnit { unit: Box::new(unit), done })).is_ok());
    wait.recv().unwrap().unwrap();
}
