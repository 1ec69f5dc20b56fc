//! What the tests of the store share: a job of one unit, random units of every kind, what a kill would leave.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod stores;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime};

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
    try_commit(store, unit).unwrap();
}

/// The same where it may be refused.
pub(crate) fn try_commit(
    store: &Store,
    unit: impl FnMut(&mut Transaction<'_>) -> bool + Send + 'static,
) -> Result<(), Error> {
    let (done, wait) = channel();
    assert!(store.submit(Box::new(OneUnit { unit: Box::new(unit), done })).is_ok());
    wait.recv().unwrap()
}

type Files = BTreeMap<PathBuf, (u64, SystemTime)>;

/// The files below a directory, with their lengths and times; one that goes while they are listed is none of them.
fn files(dir: &Path, found: &mut Files) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files(&entry.path(), found)?;
        } else {
            let metadata = entry.metadata()?;
            found.insert(entry.path(), (metadata.len(), metadata.modified()?));
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, listed: &Files) -> std::io::Result<bool> {
    for path in listed.keys() {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap())?;
        std::fs::copy(path, target)?;
    }
    let mut after = Files::new();
    files(from, &mut after)?;
    Ok(after == *listed)
}

/// Copies the data directory of an open store, and its key, as a kill at one moment would leave them. What goes on in
/// the background (checkpoints, compaction) may make, change and delete files meanwhile: a copy during which anything
/// did is of no one moment, and is made again. Returns where the copy is: `data` in the directory given.
pub(crate) fn copy_as_killed(data: &Path, to: &Path) -> PathBuf {
    let (begun, target) = (Instant::now(), to.join("data"));
    loop {
        let mut listed = Files::new();
        if files(data, &mut listed).is_ok() && copy(data, &target, &listed).unwrap_or(false) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the files never rest");
        let _ = std::fs::remove_dir_all(&target);
    }
    std::fs::copy(data.with_extension("key"), target.with_extension("key")).unwrap();
    target
}
