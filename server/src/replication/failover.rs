//! FAILOVER: handing over to a replica without losing a write, and taking over from a primary that does.
//!
//! Writes are held back until a replica has all of them; then nothing is written any more, this server becomes a replica of that one, and
//! asks it to promote itself before it follows it. Where the other says no, this one is the primary again. Where it says nothing it is
//! asked again, for as long as that takes: no primary for a while is better than two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use veddb_commands::CommandError;
use veddb_commands::replication::{FailoverRequest, FollowRequest};
use veddb_storage::{TermStart, is_beyond_belief, promotions};

use super::handover::{HandOver, NEVER, Outcome, later, later_of};
use super::link::Link;
use crate::config::Primary;
use crate::server::{COMMIT_QUEUE, Server};

/// What is said where the replica has not got all writes in time.
const LATE: &str = "the replica has not got all writes within the time";
/// What is said where somebody gave it up.
const GIVEN_UP: &str = "FAILOVER ABORT";
/// So many handings over that were refused are remembered: a request that comes late is of the last one or two.
const REFUSED_MAX: usize = 64;

/// Whether this server is handing over, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Failover {
    state: Mutex<State>,
    /// Looked at before the lock.
    on: AtomicBool,
    /// Of other servers: those in which this one does not take over, whatever still comes.
    refused: Mutex<Vec<u64>>,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    given_up: bool,
    /// Wakes who hands over when it is given up; another one each time.
    abort: Arc<Notify>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    None,
    /// A replica is still to get all that was written.
    Waiting,
    /// One has it, and is to take over.
    InProgress,
}

impl Failover {
    /// Whether it is handing over.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(SeqCst)
    }

    /// Whether it is, and somebody has given that up.
    pub(crate) fn is_given_up(&self) -> bool {
        let state = self.state.lock();
        state.stage != Stage::None && state.given_up
    }

    /// Whether another server has been asked to take over, which makes this one a replica.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.state.lock().stage == Stage::InProgress
    }

    /// In the words of INFO.
    pub(crate) fn state(&self) -> &'static str {
        match self.state.lock().stage {
            Stage::None => "no-failover",
            Stage::Waiting => "waiting-for-sync",
            Stage::InProgress => "failover-in-progress",
        }
    }

    /// Begins, unless it has begun; what tells that it is given up.
    fn begin(&self) -> Option<Arc<Notify>> {
        let mut state = self.state.lock();
        if state.stage != Stage::None {
            return None;
        }
        *state = State { stage: Stage::Waiting, ..State::default() };
        self.on.store(true, SeqCst);
        Some(Arc::clone(&state.abort))
    }

    fn set(&self, stage: Stage) {
        self.state.lock().stage = stage;
        self.on.store(stage != Stage::None, SeqCst);
    }

    fn has_refused(&self, id: u64) -> bool {
        self.refused.lock().contains(&id)
    }

    /// Has nothing that still comes of this be carried out, and says why.
    fn refuse(&self, id: u64, why: impl std::fmt::Display) -> CommandError {
        let mut refused = self.refused.lock();
        if !refused.contains(&id) {
            if refused.len() >= REFUSED_MAX {
                refused.remove(0);
            }
            refused.push(id);
        }
        CommandError::err(format!("{NEVER}{why}"))
    }
}

/// Begins to hand over.
pub(crate) fn begin(server: &Arc<Server>, request: FailoverRequest) -> Result<(), CommandError> {
    let replication = &server.replication;
    let on = || CommandError::err("FAILOVER already in progress.");
    if replication.failover.is_on() {
        return Err(on());
    }
    if replication.is_replica() {
        return Err(CommandError::err("FAILOVER is not valid when server is a replica."));
    }
    if replication.later_term() > 0 {
        return Err(CommandError::err("FAILOVER is not valid when server has met a primary of a later term."));
    }
    let replicas = replication.feeds.infos();
    if replicas.is_empty() {
        return Err(CommandError::err("FAILOVER requires connected replicas."));
    }
    if request.force && (request.timeout.is_none() || request.target.is_none()) {
        let why = "FAILOVER with force option requires both a timeout and target HOST and IP.";
        return Err(CommandError::err(why));
    }
    if let Some((ip, port)) = &request.target {
        let found = replicas.iter().find(|replica| replica.ip == *ip && replica.port == *port);
        match found.map(|replica| replica.state) {
            None => return Err(CommandError::err("FAILOVER target HOST and PORT is not a replica.")),
            Some("online") => {}
            Some(_) => return Err(CommandError::err("FAILOVER target replica is not online.")),
        }
    }
    let abort = replication.failover.begin().ok_or_else(on)?;
    tracing::info!(target = ?request.target, "handing over to a replica: writes are held back");
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let why = hand_over(&server, &request, &abort).await;
        server.replication.failover.set(Stage::None);
        server.pause.end_failover();
        match why {
            Ok(()) => tracing::info!("handed over"),
            Err(why) => tracing::warn!(why, "not handed over"),
        }
    });
    Ok(())
}

/// Gives it up. Where the other server was asked to take over, it first has to agree that it will not.
pub(crate) fn abort(server: &Server) -> Result<(), CommandError> {
    let mut state = server.replication.failover.state.lock();
    if state.stage == Stage::None {
        return Err(CommandError::err("No failover in progress."));
    }
    state.given_up = true;
    state.abort.notify_one();
    Ok(())
}

async fn hand_over(server: &Arc<Server>, request: &FailoverRequest, abort: &Notify) -> Result<(), String> {
    // A time beyond what the clock can say is one without an end.
    let deadline = request.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    server.pause.begin_failover();
    // What was let through before is written, and its LSN is counted, once all of the committer's places are free.
    drop(server.commit_slots.acquire_many(COMMIT_QUEUE as u32).await);
    let until = Until { server, deadline, abort };
    let found = until.written(server.position().lsn, request.target.as_ref()).await?;
    let forced = request.target.clone().filter(|_| request.force);
    let chosen = found.or(forced).ok_or(LATE)?;
    // The server's own writes are not held back, and a client's may have passed just before: from here on there are none.
    let last = tokio::task::block_in_place(|| server.hold_still())?;
    let found = until.written(last, Some(&chosen)).await;
    let goes_on = matches!(found, Ok(Some(_))) || request.force && found == Ok(None);
    if !goes_on {
        tokio::task::block_in_place(|| server.write_again());
        return Err(found.err().unwrap_or(LATE).to_owned());
    }
    server.replication.failover.set(Stage::InProgress);
    let primary = Primary { host: chosen.0, port: chosen.1 };
    tracing::info!(host = primary.host, port = primary.port, "the replica is to take over");
    let handover = HandOver::new(random(), request.force);
    let link = tokio::task::block_in_place(|| {
        let _changing = server.replication.changing.lock();
        server.begin_to_follow(Link::new(primary, false, false, Some(handover)))
    });
    let Some(handover) = &link.handover else { return Ok(()) };
    // Without an end, as in Redis: whether the other one has taken over is for it to say.
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = handover.until_known() => break outcome,
            () = link.cancelled() => return Err("this server was made a primary, or follows another one".to_owned()),
            () = abort.notified() => handover.give_up(),
        }
    };
    if let Outcome::Refused(why) = outcome {
        tokio::task::block_in_place(|| server.be_primary_again(&link, later_of(&why)));
        return Err(why);
    }
    tokio::task::block_in_place(|| {
        let _changing = server.replication.changing.lock();
        if server.replication.link().is_some_and(|current| Arc::ptr_eq(&current, &link)) {
            // What it was promoted to is the other one's now, and whatever is later than that is the other one's to meet.
            server.replication.own_promotion.store(0, SeqCst);
            server.replication.later_term.store(0, SeqCst);
        }
    });
    Ok(())
}

/// 64 random bits, or, where there are none to be had, the time: they only have to be others each time.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => crate::execute::now_ms(),
    }
}

/// How long a replica is waited for.
struct Until<'a> {
    server: &'a Server,
    deadline: Option<Instant>,
    abort: &'a Notify,
}

impl Until<'_> {
    /// Returns once a replica, of this address if any is named, has written this unit; where that listens. None: the time is up.
    async fn written(&self, lsn: u64, target: Option<&(String, u16)>) -> Result<Option<(String, u16)>, &'static str> {
        let patience = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            chosen = self.server.replication.feeds.until_written(lsn, target) => Ok(Some(chosen)),
            () = self.abort.notified() => Err(GIVEN_UP),
            () = patience => Ok(None),
        }
    }
}

impl Server {
    /// Has nothing be written here any more; the last unit. Blocks.
    fn hold_still(&self) -> Result<u64, &'static str> {
        let _changing = self.replication.changing.lock();
        if self.replication.is_replica() {
            return Err("this server follows another one by now");
        }
        if self.replication.later_term() > 0 {
            return Err("this server has met a primary of a later term");
        }
        let store = self.store();
        store.set_replica(true);
        Ok(store.position().lsn)
    }

    /// Ends that. Blocks.
    fn write_again(&self) {
        let _changing = self.replication.changing.lock();
        if !self.replication.is_replica() {
            self.store().set_replica(false);
        }
    }

    /// Is the primary that it was: the other one has not become it, and nothing was written meanwhile. Where there was another one of a
    /// later term, that is known from now on, and it takes no writes. Blocks.
    fn be_primary_again(&self, link: &Arc<Link>, later_term: u64) {
        let _changing = self.replication.changing.lock();
        if !self.replication.link().is_some_and(|current| Arc::ptr_eq(&current, link)) {
            return;
        }
        link.cancel();
        if !is_beyond_belief(self.store().position().term, later_term) {
            self.replication.later_term.fetch_max(later_term, SeqCst);
        }
        self.replication.link.lock().take();
        self.config.set_replicaof(None);
        self.store().set_replica(false);
        // Should it have met a later term meanwhile, it still takes no writes.
        self.replication.is_replica.store(false, SeqCst);
        tracing::info!("this server is the primary again");
    }

    /// Becomes a primary in the place of the one that it follows, which hands over; where it has become one, that is said again. What is
    /// refused once is refused for good. Blocks.
    pub(super) fn take_over(self: &Arc<Self>, id: u64, request: &FollowRequest) -> Result<(), CommandError> {
        let _changing = self.replication.changing.lock();
        let replication = &self.replication;
        let position = self.store().position();
        if position.history != request.history {
            // It may have been of the same one when it was asked before: this says nothing of what became of that.
            return Err(CommandError::err("its data are of another history"));
        }
        let is_later = promotions(position.term) > promotions(request.term);
        let met = later(replication.later_term().max(if is_later { position.term } else { 0 }));
        let refuse = |why: &str| Err(replication.failover.refuse(id, format_args!("{why}{met}")));
        if is_later && !replication.is_replica() && replication.later_term() == 0 {
            // As asked before, or because somebody else has promoted it: there it is to be followed.
            return Ok(());
        }
        if request.aborts || replication.failover.has_refused(id) {
            return refuse("that was given up");
        }
        if replication.later_term() > 0 {
            return refuse("it has met a primary of a later term");
        }
        let follows = replication.link().is_some_and(|link| link.state().primary_id == request.run_id);
        if !follows {
            return refuse("it does not follow the one that hands over");
        }
        if is_later || is_beyond_belief(position.term, request.term) {
            return refuse("the one that hands over is of another term");
        }
        let terms = request.terms.iter().map(|(term, first_lsn)| TermStart { term: *term, first_lsn: *first_lsn });
        let has_all = self.store().common(&terms.collect::<Vec<_>>(), request.lsn) >= request.lsn;
        if !has_all && !request.force {
            return refuse("it has not all that the one has that hands over");
        }
        // Past the term of the one that hands over: with FORCE its last promotion may not have come here.
        self.become_primary(request.term).map_err(|error| replication.failover.refuse(id, error.message))
    }
}
