//! Building indexes beside the committer.
//!
//! One thread builds one index after the other. It reads the collection in pieces, each at the moment it comes to it, sorts
//! the entries, and loads them into a tree that nobody sees yet. Meanwhile the committer collects what every write changes
//! in the index. These changes are applied to the tree, round after round, until so few are left that the committer
//! itself applies the rest and takes the tree over. The index is in use from the first checkpoint that has it.
//!
//! Why pieces of different moments come to the right tree: a change says of a key that it is there or not, and of all
//! changes of a key since the index was created the last one counts, whatever the pieces say of it. A key without a
//! change was the same at every moment.
//!
//! A crash, or a group that was taken back, begins the build again.

mod sort;
mod task;

pub(crate) use sort::{Merge, Sorter};

use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::Error;
use crate::collection::CollectionHandle;
use crate::commit::{Job, Message};
use crate::index::{Index, PageId, Phase, ReservedIds};
use crate::lsn::Lsn;
use crate::shared::Shared;
use crate::transaction::Transaction;
use crate::view::{Names, View};

/// How long the thread waits before it looks again, should nobody wake it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the builder shares with the committer and the checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Builds {
    /// Ids of pages that the build at hand has written, or will.
    pub(crate) ids: ReservedIds,
    /// Taken before the ids' own lock, so that a page on its way from one list to the next is always in one of them.
    pages: Mutex<Pages>,
    news: Mutex<bool>,
    wake: Condvar,
}

/// Pages that builds have written, after the builds.
#[derive(Debug, Default)]
struct Pages {
    /// Of trees that the committer has taken over and no checkpoint has yet.
    adopted: Vec<PageId>,
    /// Of trees that nobody will ever want.
    abandoned: Vec<PageId>,
}

impl Builds {
    /// Wakes whoever waits for something to become of an index.
    pub(crate) fn notify(&self) {
        *self.news.lock() = true;
        self.wake.notify_all();
    }

    fn wait(&self) {
        let mut news = self.news.lock();
        if !*news {
            self.wake.wait_for(&mut news, LOOK_AGAIN);
        }
        *news = false;
    }

    /// Pages in the engine that the checkpoint that is being written does not have.
    pub(crate) fn unfinished_pages(&self) -> Vec<PageId> {
        let pages = self.pages.lock();
        [&*pages.adopted, &*pages.abandoned, &*self.ids.all()].concat()
    }

    /// The committer has taken the tree over, which no longer has these pages.
    pub(crate) fn adopt(&self, replaced: Vec<PageId>) {
        let mut pages = self.pages.lock();
        pages.adopted.extend(self.ids.take());
        pages.abandoned.extend(replaced);
    }

    /// The checkpoint that begins has the trees that were taken over.
    pub(crate) fn forget_adopted(&self) {
        self.pages.lock().adopted.clear();
    }

    /// Nobody wants the tree at hand, nor these pages.
    fn abandon(&self, more: Vec<PageId>) {
        let mut pages = self.pages.lock();
        pages.abandoned.extend(self.ids.take());
        pages.abandoned.extend(more);
    }

    /// Pages in the engine that nobody will ever want.
    pub(crate) fn take_abandoned(&self) -> Vec<PageId> {
        std::mem::take(&mut self.pages.lock().abandoned)
    }
}

/// Why a build did not come to its end.
enum Stop {
    /// The index, its collection or the store is gone.
    Gone,
    /// It has to begin again.
    Again,
    /// The index cannot be built.
    Failed(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        match error {
            Error::ShuttingDown | Error::LogFailed(_) => Stop::Gone,
            other => Stop::Failed(other.to_string()),
        }
    }
}

/// The builder's own things.
pub(crate) struct Builder {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: SyncSender<Message>,
    pub(crate) closing: Arc<AtomicBool>,
    /// Keys held in memory while they are sorted, bytes.
    pub(crate) memory_bytes: usize,
    /// On a replica: builds that failed, with the last change of their collection before they began and when they may be
    /// tried again.
    pub(crate) put_off: Mutex<HashMap<(u32, u32), (Lsn, Instant)>>,
}

impl Builder {
    /// Builds what is to be built until the store closes.
    pub(crate) fn run(self) {
        while !self.closing.load(Ordering::Acquire) {
            let Some((collection, index)) = self.next() else {
                self.shared.builds.wait();
                continue;
            };
            let (began, changed_lsn) = (Instant::now(), self.changed_lsn(collection));
            let outcome = task::Task::new(&self, collection, index).run();
            if !matches!(outcome, Ok(())) {
                self.shared.builds.abandon(Vec::new());
            }
            match outcome {
                Ok(()) => tracing::info!(collection, index, "index built"),
                Err(Stop::Again) => {
                    tracing::info!(collection, index, "the build of an index begins again");
                    self.shared.builds.wait();
                }
                Err(Stop::Gone) => {}
                // Whether it can be built is the primary's to say, and may be so a moment later.
                Err(Stop::Failed(why)) if self.shared.replica.load(Ordering::Acquire) => {
                    tracing::debug!(collection, index, why, "the build of an index is put off");
                    let until = Instant::now() + LOOK_AGAIN + 10 * began.elapsed();
                    self.put_off.lock().insert((collection, index), (changed_lsn, until));
                }
                Err(Stop::Failed(why)) => {
                    tracing::warn!(collection, index, "the build of an index failed; IDX.LIST says why");
                    if self.ask(move |tx| task::fail(tx, collection, index, &why)).is_err() {
                        // The log cannot take it now. The build is tried again then.
                        self.shared.builds.wait();
                    }
                }
            }
        }
    }

    fn view(&self) -> View {
        View::stored(&self.shared)
    }

    /// An index that waits to be built.
    fn next(&self) -> Option<(u32, u32)> {
        let view = self.view();
        let mut put_off = self.put_off.lock();
        if !self.shared.replica.load(Ordering::Acquire) {
            put_off.clear();
        }
        let mut collections = view.state.databases.iter().flat_map(Names::values);
        collections.find_map(|collection| {
            let waits = |index: &&Index| {
                let off = put_off.get(&(collection.id().0, index.id));
                off.is_none_or(|(lsn, until)| *lsn < collection.changed_lsn() && *until <= Instant::now())
            };
            let building = collection.indexes().iter().filter(|index| index.phase == Phase::Building);
            let index = building.into_iter().find(waits)?;
            Some((collection.id().0, index.id))
        })
    }

    fn changed_lsn(&self, collection: u32) -> Lsn {
        let view = self.view();
        let mut collections = view.state.databases.iter().flat_map(Names::values);
        collections.find(|found| found.id().0 == collection).map_or(0, CollectionHandle::changed_lsn)
    }

    /// The collection as it is now, and the index if it is still to be built.
    fn current<'v>(
        &self,
        view: &'v View,
        collection: u32,
        index: u32,
    ) -> Result<(&'v CollectionHandle, &'v Index), Stop> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Stop::Gone);
        }
        let mut collections = view.state.databases.iter().flat_map(Names::values);
        let found = collections.find(|handle| handle.id().0 == collection).ok_or(Stop::Gone)?;
        let index = found.indexes().iter().find(|i| i.id == index && i.phase == Phase::Building).ok_or(Stop::Gone)?;
        Ok((found, index))
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Stop> {
        ask(&self.queue, work).map_err(|error| match error {
            // What others wanted to write had no room; the index is none the worse for it.
            Error::NoSpace => Stop::Again,
            other => other.into(),
        })
    }
}

/// Has the committer run this between its units, and waits until the group is published.
pub(crate) fn ask<T: Send + 'static>(
    queue: &SyncSender<Message>,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (answer, answers) = std::sync::mpsc::sync_channel(1);
    let job = Ask { work: Some(work), found: None, answer };
    queue.send(Message::Job(Box::new(job))).map_err(|_| Error::ShuttingDown)?;
    answers.recv().map_err(|_| Error::ShuttingDown)?
}

/// One question to the committer.
struct Ask<W, T> {
    work: Option<W>,
    found: Option<Result<T, Error>>,
    answer: SyncSender<Result<T, Error>>,
}

impl<W, T> Job for Ask<W, T>
where
    W: FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send,
    T: Send,
{
    fn units(&self) -> usize {
        1
    }

    fn run(&mut self, _: usize, transaction: &mut Transaction<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        let found = work(transaction);
        let done = found.is_ok();
        self.found = Some(found);
        done
    }

    fn finished(self: Box<Self>, outcome: Result<(), Error>) {
        let found = self.found.unwrap_or(Err(Error::ShuttingDown));
        // Nobody listens when the builder has ended.
        let _ = self.answer.send(found.and_then(|found| outcome.map(|()| found)));
    }
}
