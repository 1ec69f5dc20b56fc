//! DOC.CHANGES: reading what changed, and waiting for it.
//!
//! While it waits, nothing is held but the place that it has come to: no thread, no view, no file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use veddb_commands::changes::{Changes, Found};
use veddb_commands::lookup::Entry;
use veddb_commands::session::Unblock;
use veddb_commands::{Args, CommandError, ErrorCode};

use super::{Closed, Connection, unless_gone};
use crate::execute::{Caller, Outcome, now_ms, on_a_thread_with, stopped};
use crate::identity::narrowed;
use crate::token::Token;

/// A request on its way.
struct Reading {
    caller: Caller,
    entry: &'static Entry,
    args: Args,
    /// Of which users and roles the caller's rights are, and the token that they were narrowed by.
    generation: u64,
    token: Option<Arc<Token>>,
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
        let (generation, token) = (self.state.generation, self.state.token.clone());
        let mut reading = Reading { caller: self.caller(started), entry, args: args.clone(), generation, token };
        let Some(time) = block else {
            let outcome = async {
                let slots = Arc::clone(&reading.caller.server.changes.slots);
                let slot = slots.acquire_owned().await.map_err(|_| stopped())?;
                reading.look_at_rights()?;
                let (changes, found) = reading.read(slot, changes).await?;
                reading.look_at_rights()?;
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
    /// Reads for a turn, on a thread that there is this permit for.
    async fn read(
        &self,
        slot: OwnedSemaphorePermit,
        mut changes: Box<Changes>,
    ) -> Result<(Box<Changes>, Found), CommandError> {
        let caller = self.caller.clone();
        let turn = move || {
            let view = caller.server.loaded()?.view(now_ms());
            let found = changes.read(&caller.context(&view))?;
            Ok((changes, found))
        };
        on_a_thread_with(slot, turn).await
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
        // From now on, also while others read before it.
        let until = time.and_then(|time| Instant::now().checked_add(time));
        let up = async move {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(up);
        let mut waiter = server.changes.join();
        let mut is_blocked = false;
        let mut block = || {
            if !std::mem::replace(&mut is_blocked, true) {
                client.block(true);
            }
        };
        // It may be over before it is its turn to read, and then this is where to go on.
        changes.begin(&server.loaded()?.glance());
        loop {
            let slots = Arc::clone(&server.changes.slots);
            let slot = match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => slot,
                Err(_) => {
                    block();
                    let began = Instant::now();
                    let slot = tokio::select! {
                        biased;
                        () = client.unblocked() => None,
                        () = &mut up => None,
                        slot = slots.acquire_owned() => Some(slot),
                    };
                    *waited += began.elapsed();
                    let Some(slot) = slot else { return Ok(changes.reply(Vec::new())) };
                    slot.map_err(|_| stopped())?
                }
            };
            // Only now: rights may have been cut while it waited for others.
            self.look_at_rights()?;
            waiter.look();
            let found;
            (changes, found) = self.read(slot, changes).await?;
            // And again: what was read may have been written since they were cut.
            self.look_at_rights()?;
            // A turn that found nothing in a long log is an answer as well: its place is farther on.
            if !found.events.is_empty() || !found.ended {
                return Ok(changes.reply(found.events));
            }
            block();
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
                if !changes.pass(&store.glance(), self.caller.db) {
                    break;
                }
            }
        }
    }

    /// Whether it may still be answered: rights may have been cut since it was asked, and a token may have expired.
    fn look_at_rights(&mut self) -> Result<(), CommandError> {
        if self.token.as_ref().is_some_and(|token| token.expires_ms <= now_ms()) {
            return Err(CommandError::new(ErrorCode::NoAuth, "the token has expired"));
        }
        let acl = &self.caller.server.acl;
        let generation = acl.generation();
        if generation == self.generation {
            return Ok(());
        }
        self.generation = generation;
        let accounts = acl.load();
        let Some(user) = accounts.get(self.caller.user.name()) else {
            return Err(CommandError::new(ErrorCode::NoAuth, "the user was removed"));
        };
        self.caller.user = narrowed(user, self.token.as_deref());
        drop(accounts);
        let user = &self.caller.user;
        user.check(self.entry, &self.args, &self.caller.limits).map_err(|denial| denial.error(user))
    }
}
