//! DOC.CHANGES: reading what changed, and waiting for it.
//!
//! While it waits, nothing is held but the place that it has come to: no thread, no view, no file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use veddb_commands::changes::{Changes, Found};
use veddb_commands::lookup::Entry;
use veddb_commands::session::Unblock;
use veddb_commands::{Args, CommandError, ErrorCode};

use super::{Closed, Connection, unless_gone};
use crate::execute::{Caller, Outcome, now_ms};

/// A request on its way.
struct Reading {
    caller: Caller,
    entry: &'static Entry,
    args: Args,
    /// Of which users and roles the caller's rights are.
    generation: u64,
}

impl Connection {
    /// Makes the answer; with how long it waited.
    pub(super) async fn changes(
        &mut self,
        entry: &'static Entry,
        args: &Args,
        started: Instant,
        changes: Box<Changes>,
    ) -> Result<(Outcome, Duration), Closed> {
        let block = changes.block().filter(|_| !self.state.in_exec);
        let generation = self.server.acl.generation();
        // A slice of what was read would hold all that was read.
        let args = Args::new(args.from(0).iter().map(|arg| bytes::Bytes::copy_from_slice(arg)).collect());
        let reading = Reading { caller: self.caller(started), entry, args, generation };
        let Some(time) = block else {
            let outcome = async {
                let (changes, found) = reading.read(changes).await?;
                Ok(changes.reply(found.events))
            };
            return Ok((unless_gone(&self.stream, &self.client, outcome).await, Duration::ZERO));
        };
        let ended = self.hold(reading.wait(changes, time)).await;
        let unblocked = self.client.resume();
        let (outcome, waited) = ended?;
        let outcome = match unblocked {
            Some(Unblock::Error) => Err(CommandError::new(ErrorCode::Unblocked, "client unblocked via CLIENT UNBLOCK")),
            Some(Unblock::Timeout) | None => outcome,
        };
        Ok((outcome, waited))
    }
}

impl Reading {
    /// Reads for a turn, on a thread.
    async fn read(&self, mut changes: Box<Changes>) -> Result<(Box<Changes>, Found), CommandError> {
        let caller = self.caller.clone();
        let turn = move || {
            let view = caller.server.loaded()?.view(now_ms());
            let found = changes.read(&caller.context(&view))?;
            Ok((changes, found))
        };
        self.caller.on_a_thread_of(Arc::clone(&self.caller.server.changes.slots), turn).await
    }

    /// Reads until something is found, or the time is up; with how long it waited for others.
    async fn wait(mut self, changes: Box<Changes>, time: Option<Duration>) -> (Outcome, Duration) {
        let mut waited = Duration::ZERO;
        let outcome = self.find(changes, time, &mut waited).await;
        (outcome, waited)
    }

    async fn find(&mut self, mut changes: Box<Changes>, time: Option<Duration>, waited: &mut Duration) -> Outcome {
        let server = Arc::clone(&self.caller.server);
        let client = Arc::clone(&self.caller.client);
        let up = async move {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(up);
        let mut waiter = server.changes.join();
        let mut is_blocked = false;
        loop {
            waiter.look();
            let found;
            (changes, found) = self.read(changes).await?;
            // A turn that found nothing in a long log is an answer as well: its place is farther on.
            if !found.events.is_empty() || !found.ended {
                return Ok(changes.reply(found.events));
            }
            if !std::mem::replace(&mut is_blocked, true) {
                client.block(true);
            }
            loop {
                let began = Instant::now();
                let is_over = tokio::select! {
                    biased;
                    () = client.unblocked() => true,
                    () = &mut up => true,
                    () = waiter.grown() => false,
                };
                *waited += began.elapsed();
                if is_over {
                    return Ok(changes.reply(Vec::new()));
                }
                self.look_at_rights()?;
                waiter.look();
                // There is none while another takes its place, which is told when it has.
                let Some(store) = server.store_now() else { continue };
                if !changes.pass(&store.view(now_ms()), self.caller.db) {
                    break;
                }
            }
        }
    }

    /// Whether it may still be answered: rights may have been cut since it was asked.
    fn look_at_rights(&mut self) -> Result<(), CommandError> {
        let acl = &self.caller.server.acl;
        let generation = acl.generation();
        if generation == self.generation {
            return Ok(());
        }
        self.generation = generation;
        // A connection whose user is gone is being closed.
        if let Some(user) = acl.load().get(self.caller.user.name()) {
            self.caller.user = Arc::clone(user);
        }
        let user = &self.caller.user;
        user.check(self.entry, &self.args, &self.caller.limits).map_err(|denial| denial.error(user))
    }
}
