//! Commands whose answer waits: WAIT, DEBUG SLEEP, and all that CLIENT PAUSE holds back.
//!
//! Only this connection waits. What was answered before is sent first, and messages are sent meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use veddb_commands::lookup::Entry;
use veddb_commands::session::{Unblock, Wait, Waited};
use veddb_commands::spec::Run;
use veddb_commands::{Args, CommandError, ErrorCode};

use super::socket::filled;
use super::{Closed, Connection, FLUSH_BYTES};
use crate::execute::Outcome;
use crate::server::Server;

impl Connection {
    /// Waits for the end of a pause that holds this command back, if one does; how long that was.
    pub(super) async fn hold_back(&mut self, entry: &'static Entry, args: &Args) -> Result<Duration, Closed> {
        // Whoever paused all must be able to end it.
        let writes = self.may_write(entry, args);
        if entry.name == "client|unpause" || !self.server.pause.holds(writes) {
            return Ok(Duration::ZERO);
        }
        self.finish_runs().await;
        let held = Instant::now();
        self.client.block(false);
        let server = Arc::clone(&self.server);
        let over = self.hold(async move { server.pause.over(writes).await }).await;
        self.client.resume();
        over.map(|()| held.elapsed())
    }

    /// Whether a command changes documents or publishes; EXEC, whether what was queued does.
    fn may_write(&self, entry: &Entry, args: &Args) -> bool {
        let limits = &self.settings.limits;
        let one = |entry: &Entry, args: &Args| {
            matches!(entry.command.run.with(args, limits), Run::Write(_))
                || entry.command.flags.contains(&"may_replicate")
        };
        match (entry.command.run, &self.state.multi) {
            (Run::Exec, Some(multi)) => multi.queued.iter().any(|(entry, args)| one(entry, args)),
            _ => one(entry, args),
        }
    }

    /// Waits as a command has asked, and makes its answer; with how long it waited for others.
    pub(super) async fn wait_for(&mut self, wait: Wait) -> Result<(Outcome, Duration), Closed> {
        let began = Instant::now();
        self.client.block(wait.unblockable);
        let (server, client) = (Arc::clone(&self.server), Arc::clone(&self.client));
        let waiting = async move {
            let mut waited = Waited { durable: false, replicas: 0 };
            let lsn = server.position().lsn;
            let (is_durable, replicas) = (&mut waited.durable, &mut waited.replicas);
            let all = async {
                // Side by side: the time may be over before one of them is, and the other counts all the same.
                let here = async {
                    if wait.durable {
                        *is_durable = durable(&server).await;
                    }
                };
                let there = async {
                    if wait.of_replicas {
                        server.replication.until_synced(lsn, wait.replicas, replicas).await;
                    }
                };
                tokio::join!(here, there);
                let is_enough = (*is_durable || !wait.durable) && *replicas >= wait.replicas;
                if !is_enough {
                    std::future::pending::<()>().await;
                }
            };
            let time = async {
                match wait.time {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = all => {}
                () = client.unblocked() => {}
                () = time => {}
            }
            waited
        };
        let ended = self.hold(waiting).await;
        let unblocked = self.client.resume();
        let waited = ended?;
        if wait.of_replicas && self.server.replication.is_replica() {
            let why = "force unblock from blocking operation, instance state changed (master -> replica?)";
            return Ok((Err(CommandError::new(ErrorCode::Unblocked, why)), began.elapsed()));
        }
        let outcome = match unblocked {
            Some(Unblock::Error) => Err(CommandError::new(ErrorCode::Unblocked, "client unblocked via CLIENT UNBLOCK")),
            Some(Unblock::Timeout) | None => Ok((wait.answer)(waited)),
        };
        // What nobody can end is the command's own doing.
        Ok((outcome, if wait.unblockable { began.elapsed() } else { Duration::ZERO }))
    }

    /// Does nothing that the client asks for until this is done.
    pub(super) async fn hold<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Closed> {
        self.server.metrics.ran(&mut self.ran, self.settings.latency_tracking);
        self.flush().await?;
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = filled(&self.state) => {}
                () = self.client.killed() => return Err(Closed::Server),
                _ = self.stopping.wait_for(Option::is_some) => return Err(Closed::Stop),
                () = self.stream.gone() => return Err(Closed::Peer),
            }
            self.take_messages(FLUSH_BYTES);
            self.flush().await?;
        }
    }
}

/// Brings to the disk what was written so far; whether it is there.
async fn durable(server: &Server) -> bool {
    let Some(store) = server.store_now() else { return false };
    let lsn = store.position().lsn;
    // Where it is there already, as with `appendfsync always`, it takes no thread.
    if store.position_durable().lsn >= lsn {
        return true;
    }
    let sync = move || {
        // Whoever came to it before may have brought this there as well.
        if store.position_durable().lsn < lsn { store.sync() } else { Ok(()) }
    };
    matches!(tokio::task::spawn_blocking(sync).await, Ok(Ok(())))
}
