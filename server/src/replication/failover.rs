//! FAILOVER: handing over to a replica without losing a write.
//!
//! Writes are held back until a replica has all of them; then this server becomes a replica, and asks that one to promote itself
//! before it follows it. Where that does not agree, it is a primary again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use veddb_commands::CommandError;
use veddb_commands::replication::FailoverRequest;

use super::link::Link;
use crate::config::Primary;
use crate::server::{COMMIT_QUEUE, Server};

/// How long the replica may take to take over, where no time was given.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this server is handing over, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Failover {
    stage: Mutex<Stage>,
    /// Looked at before the lock.
    on: AtomicBool,
    aborted: Notify,
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

    /// In the words of INFO.
    pub(crate) fn state(&self) -> &'static str {
        match *self.stage.lock() {
            Stage::None => "no-failover",
            Stage::Waiting => "waiting-for-sync",
            Stage::InProgress => "failover-in-progress",
        }
    }

    fn set(&self, stage: Stage) {
        *self.stage.lock() = stage;
        self.on.store(stage != Stage::None, SeqCst);
    }
}

/// Begins to hand over.
pub(crate) fn begin(server: &Arc<Server>, request: FailoverRequest) -> Result<(), CommandError> {
    let replication = &server.replication;
    if replication.failover.is_on() {
        return Err(CommandError::err("FAILOVER already in progress."));
    }
    if replication.is_replica() {
        return Err(CommandError::err("FAILOVER is not valid when server is a replica."));
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
    replication.failover.set(Stage::Waiting);
    tracing::info!(target = ?request.target, "handing over to a replica: writes are held back");
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let why = hand_over(&server, &request).await;
        server.replication.failover.set(Stage::None);
        server.pause.end_failover();
        match why {
            Ok(()) => tracing::info!("handed over"),
            Err(why) => tracing::warn!(why, "not handed over"),
        }
    });
    Ok(())
}

/// Gives it up.
pub(crate) fn abort(server: &Server) -> Result<(), CommandError> {
    if !server.replication.failover.is_on() {
        return Err(CommandError::err("No failover in progress."));
    }
    server.replication.failover.aborted.notify_one();
    Ok(())
}

async fn hand_over(server: &Arc<Server>, request: &FailoverRequest) -> Result<(), &'static str> {
    let failover = &server.replication.failover;
    server.pause.begin_failover();
    // What was let through before is written, and its LSN is counted, once all of the committer's places are free.
    let slots = server.commit_slots.acquire_many(COMMIT_QUEUE as u32).await;
    let lsn = server.store().position().lsn;
    drop(slots);
    let patience = async {
        match request.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let chosen = tokio::select! {
        biased;
        chosen = server.replication.feeds.until_written(lsn, request.target.as_ref()) => chosen,
        () = failover.aborted.notified() => return Err("FAILOVER ABORT"),
        () = patience => match (&request.target, request.force) {
            (Some(target), true) => target.clone(),
            _ => return Err("the replica has not got all writes within the time"),
        },
    };
    failover.set(Stage::InProgress);
    let primary = Primary { host: chosen.0, port: chosen.1 };
    tracing::info!(host = primary.host, port = primary.port, "the replica has all writes and is to take over");
    let link = tokio::task::block_in_place(|| {
        let _changing = server.replication.changing.lock();
        server.begin_to_follow(Link::new(primary, request.force, false, true));
        server.replication.link()
    });
    let Some(link) = link else { return Err("it follows nobody") };
    let taken_over = async {
        while link.hands_over() && !link.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let why = tokio::select! {
        biased;
        () = taken_over => return Ok(()),
        () = failover.aborted.notified() => "FAILOVER ABORT",
        () = tokio::time::sleep(request.timeout.unwrap_or(PATIENCE)) => "the replica has not taken over within the time",
    };
    let server = Arc::clone(server);
    tokio::task::block_in_place(|| {
        let _changing = server.replication.changing.lock();
        server.become_primary()
    })
    .map_err(|_| "the replica has not taken over, and this server cannot be a primary again")?;
    Err(why)
}
