//! Carries commands out: reads on a view, groups of writes through the committer, long work on threads of its own.
//!
//! Owns no queue but the permits in [`Server`]: a connection waits for its own work, so what waits is bounded by the
//! number of connections. A panic in a reading command ends that command alone; one in the committer stops the server.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use veddb_commands::access::User;
use veddb_commands::context::{Asker, Limits, Phased, ReadContext, Step, Unit};
use veddb_commands::{Args, CommandError, ErrorCode, Reply};
use veddb_storage::{Error, Job, Logged, Transaction};

use crate::client::Client;
use crate::latency::COMMIT;
use crate::server::Server;
use crate::telemetry;
use crate::traces::stages::{Stages, WAIT_FOR_A_THREAD, WORK};

/// What a command comes to.
pub type Outcome = Result<Reply, CommandError>;

/// The `run` of a reading command.
pub type ReadFn = fn(&Args, &ReadContext<'_>) -> Outcome;

/// Who runs a command, and under which bounds.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The server.
    pub server: Arc<Server>,
    /// The connection.
    pub client: Arc<Client>,
    /// Who it is.
    pub user: Arc<User>,
    /// The selected database.
    pub db: u8,
    /// The language's bounds when the request came.
    pub limits: Limits,
    /// When the request came.
    pub started: Instant,
    /// The connection speaks RESP3.
    pub resp3: bool,
    /// Where it is noted what its time goes to.
    pub stages: Stages,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Caller {
    /// Runs a read on a thread where it may take its time, or as many milliseconds as it has.
    ///
    /// A query looks at the clock itself and ends with what it holds. It cannot while it waits: for a thread, for the disk,
    /// or for the engine, which keeps readers out while it puts a compaction's tables in place. Its client is answered all
    /// the same, and the thread ends it as soon as it goes on.
    pub async fn read_long(&self, run: ReadFn, args: Args, max_time_ms: Option<u64>) -> Outcome {
        let caller = self.clone();
        let work = self.on_a_thread(move || {
            let view = caller.server.loaded()?.view(now_ms());
            read(run, &args, &ReadContext { max_time_ms, ..caller.context(&view) })
        });
        let answer_by = |ms| self.started.checked_add(Duration::from_millis(ms)).and_then(|at| at.checked_add(GRACE));
        match max_time_ms.and_then(|ms| answer_by(ms).map(|at| (ms, at))) {
            None => work.await,
            Some((ms, at)) => {
                let asked = Instant::now();
                tokio::time::timeout_at(at.into(), work).await.unwrap_or_else(|_| {
                    self.stages.note_rest(asked);
                    Err(CommandError::max_time(ms))
                })
            }
        }
    }

    /// Runs a write that reads first, on a thread; its units go through the committer one by one.
    pub async fn phased(&self, mut phased: Box<dyn Phased>) -> Outcome {
        loop {
            let caller = self.clone();
            let runtime = Handle::current();
            let steps = move || {
                let mut before = None;
                loop {
                    let step = {
                        // A new view each time, so that a step sees what the unit before it did. None is held while a unit waits: a
                        // store that is replaced waits for its views, and the unit for the store.
                        let view = caller.server.loaded()?.view(now_ms());
                        phased.next(&caller.context(&view), before.take())?
                    };
                    match step {
                        Step::Done(reply) => return Ok(Steps::Done(reply)),
                        Step::Wait => return Ok(Steps::Wait(phased)),
                        Step::Commit(unit) => {
                            let outcomes = runtime.block_on(commit(&caller.server, vec![unit], &caller.stages));
                            before = outcomes.into_iter().next();
                        }
                    }
                }
            };
            match self.on_a_thread(steps).await? {
                Steps::Done(reply) => return Ok(reply),
                // Neither the thread nor its slot is held meanwhile.
                Steps::Wait(waiting) => phased = waiting,
            }
            tokio::time::sleep(WAIT).await;
        }
    }

    /// Runs long work on a thread, once there is one for it.
    pub(crate) async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let asked = Instant::now();
        let waiting = Waiting::begin(&self.server.reads_waiting);
        let Ok(slot) = Arc::clone(&self.server.read_slots).acquire_owned().await else { return Err(stopped()) };
        drop(waiting);
        let stages = self.stages.clone();
        let noted = move || {
            let began = Instant::now();
            stages.note(WAIT_FOR_A_THREAD, asked, began);
            let outcome = work();
            stages.note(WORK, began, Instant::now());
            outcome
        };
        on_a_thread_with(slot, noted).await
    }

    /// What a read of this caller works with.
    pub(crate) fn context<'a>(&'a self, view: &'a veddb_storage::View) -> ReadContext<'a> {
        let asker = Asker {
            db: self.db,
            client: self.client.id,
            user: &self.user,
            limits: &self.limits,
            queries: &self.server.queries,
            cancelled: &self.client.cancelled,
            started: self.started,
            resp3: self.resp3,
            worked: &self.client.worked,
        };
        ReadContext::new(view, asker)
    }
}

/// Counts who waits, for as long as it is there: also whose client goes away meanwhile.
struct Waiting<'c>(&'c AtomicUsize);

impl Waiting<'_> {
    fn begin(count: &AtomicUsize) -> Waiting<'_> {
        count.fetch_add(1, Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Runs long work on a thread; the permit for it is given back with its end.
pub(crate) async fn on_a_thread_with<T: Send + 'static>(
    slot: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
) -> Result<T, CommandError> {
    let request = telemetry::request();
    let task = tokio::task::spawn_blocking(move || {
        give_way();
        let outcome = telemetry::within(request, work);
        drop(slot);
        outcome
    });
    // The slot is freed by a panic as well: it is owned by the closure.
    task.await.unwrap_or_else(|_| Err(panicked()))
}

/// How far a phased write came.
enum Steps {
    Done(Reply),
    Wait(Box<dyn Phased>),
}

/// How long after its time a query has to end by itself.
const GRACE: Duration = Duration::from_millis(20);

/// How long a phased write that has nothing to do yet is left alone.
const WAIT: Duration = Duration::from_millis(10);

/// Has the scheduler put this thread behind those that answer quickly, for good: it belongs to the pool that long work has to
/// itself. Without it four long reads on two processors keep a PING waiting for a whole slice of theirs.
fn give_way() {
    thread_local! { static GIVES_WAY: Cell<bool> = const { Cell::new(false) }; }
    if !GIVES_WAY.replace(true) {
        // Where it is not allowed the thread competes like any other, as it did before.
        let _ = rustix::process::setpriority_process(None, LONG_WORK_NICE);
    }
}

/// The nice value of threads for long work: 0 is everybody's, 19 the lowest priority.
const LONG_WORK_NICE: i32 = 10;

/// Runs a read on this thread. A panic ends the command alone.
pub fn read(run: ReadFn, args: &Args, context: &ReadContext<'_>) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(args, context))).unwrap_or_else(|_| Err(panicked()))
}

/// Has these units committed, one after the other; an outcome for each, once it is as durable as `appendfsync` says.
pub async fn commit(server: &Server, units: Vec<Unit>, stages: &Stages) -> Vec<Outcome> {
    let count = units.len();
    let (done, outcomes) = oneshot::channel();
    let asked = Instant::now();
    let Ok(slot) = Arc::clone(&server.commit_slots).acquire_owned().await else { return refuse(count, stopped()) };
    let submitted = Instant::now();
    let group = Group {
        outcomes: units.iter().map(|_| None).collect(),
        units: units.into_iter().map(Some).collect(),
        kept: 0,
        done,
        stages: stages.clone(),
        asked,
        began: None,
        ran: None,
        _slot: slot,
    };
    let store = match server.loaded() {
        Ok(store) => store,
        Err(error) => return refuse(count, error),
    };
    if store.submit(Box::new(group)).is_err() {
        // The permits keep the queue below its length.
        return refuse(count, CommandError::new(ErrorCode::Busy, "the commit queue is full"));
    }
    let outcomes = outcomes.await.unwrap_or_else(|_| refuse(count, stopped()));
    server.latency.note(COMMIT, submitted.elapsed());
    outcomes
}

fn refuse(count: usize, error: CommandError) -> Vec<Outcome> {
    std::iter::repeat_n(error, count).map(Err).collect()
}

/// The server ends.
pub(crate) fn stopped() -> CommandError {
    CommandError::from(Error::ShuttingDown)
}

fn panicked() -> CommandError {
    tracing::error!("a command panicked; it was ended, its connection goes on");
    CommandError::err("internal error: the command was ended")
}

/// A run of writes of one pipeline on its way through the committer.
struct Group {
    units: Vec<Option<Unit>>,
    outcomes: Vec<Option<Outcome>>,
    /// So many of them are durable whatever becomes of the rest.
    kept: usize,
    done: oneshot::Sender<Vec<Outcome>>,
    stages: Stages,
    asked: Instant,
    /// When the committer began with it, and when it had run the last unit so far.
    began: Option<Instant>,
    ran: Option<Instant>,
    /// Frees the queue's slot when the group is done.
    _slot: OwnedSemaphorePermit,
}

impl Job for Group {
    fn units(&self) -> usize {
        self.units.len()
    }

    fn run(&mut self, at: usize, txn: &mut Transaction<'_>) -> bool {
        let Some(unit) = self.units.get_mut(at).and_then(Option::take) else { return false };
        if self.stages.are_kept() {
            self.began.get_or_insert_with(Instant::now);
        }
        let outcome = unit(txn);
        if self.stages.are_kept() {
            self.ran = Some(Instant::now());
        }
        let done = outcome.is_ok();
        if let Some(slot) = self.outcomes.get_mut(at) {
            *slot = Some(outcome);
        }
        done
    }

    fn kept(&mut self, units: usize) {
        self.kept = units;
    }

    fn logged(&mut self, logged: &Logged) {
        self.stages.note_log(logged);
    }

    fn finished(self: Box<Self>, outcome: Result<(), Error>) {
        if let (Some(began), Some(ran)) = (self.began, self.ran) {
            self.stages.note("wait for the committer", self.asked, began);
            self.stages.note("run", began, ran);
        }
        let kept = self.kept;
        let lost = outcome.err().map(CommandError::from);
        let settle = |(at, outcome): (usize, Option<Outcome>)| match (outcome, lost.as_ref().filter(|_| at >= kept)) {
            // What was refused before the log was reached keeps its own reason.
            (Some(Err(error)), _) => Err(error),
            (_, Some(lost)) => Err(lost.clone()),
            (Some(Ok(reply)), None) => Ok(reply),
            (None, None) => Err(stopped()),
        };
        // Nobody receives when the connection is gone; the writes stand all the same.
        let _ = self.done.send(self.outcomes.into_iter().enumerate().map(settle).collect());
    }
}
