//! The transactions of a connection: queueing, and EXEC.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use veddb_commands::lookup::Entry;
use veddb_commands::spec::Run;
use veddb_commands::{Args, CommandError, Reply};

use super::request::Request;
use super::{Closed, Connection, unless_gone};
use crate::execute::{Outcome, commit, now_ms};
use crate::metrics::Ran;
use crate::multi::{Plan, aborted, selected, size_queued};

impl Connection {
    /// Queues a command for EXEC.
    pub(super) fn queue(&mut self, entry: &'static Entry, args: Args) -> Result<(), Closed> {
        let Some(multi) = &mut self.state.multi else { return Ok(()) };
        if entry.command.flags.contains(&"no_multi") {
            multi.refused = true;
            let error = CommandError::err("Command not allowed inside a transaction");
            self.server.metrics.rejected(Some(entry), error.code);
            self.reply(&Reply::Error(error));
            return Ok(());
        }
        if multi.refused {
            // None of it will be carried out.
            self.reply(&Reply::Simple("QUEUED".into()));
            return Ok(());
        }
        // Slices of what was read would hold all that was read.
        let args = Args::new(args.from(0).iter().map(|arg| Bytes::copy_from_slice(arg)).collect());
        multi.needs.add(entry, &args, &self.settings.limits);
        multi.bytes += size_queued(&args);
        multi.queued.push((entry, args));
        if multi.bytes > self.settings.client_query_buffer_limit {
            self.server.metrics.query_buffer_disconnections.fetch_add(1, Relaxed);
            tracing::warn!(client = self.client.id, addr = %self.client.addr, "closed: client-query-buffer-limit");
            return Err(Closed::Server);
        }
        self.state.note_transaction(&self.client);
        self.reply(&Reply::Simple("QUEUED".into()));
        Ok(())
    }

    /// Carries out what was queued.
    pub(super) async fn exec(&mut self, request: &Request) -> Result<Outcome, Closed> {
        let Some(multi) = self.state.multi.take() else {
            return Ok(Err(CommandError::err("EXEC without MULTI")));
        };
        let watched = std::mem::take(&mut self.state.watched);
        self.state.note_transaction(&self.client);
        if multi.refused {
            return Ok(Err(aborted(" previous errors.")));
        }
        // It may have begun to fail since they were queued.
        let audit = &self.server.audit;
        if let Some(error) =
            multi.queued.iter().find_map(|(entry, args)| audit.admit(entry, args, &self.settings).err())
        {
            return Ok(Err(aborted(&format!(": {error}"))));
        }
        let mut db = self.state.db;
        let caller = self.caller(request.started());
        self.state.in_exec = true;
        let denied = self.denied(&multi.queued);
        self.state.in_exec = false;
        let plan = Plan::new(&multi.queued, &denied, self.state.db, self.settings.databases, &caller, now_ms());
        let (places, others, writes) = (plan.places(), plan.others.clone(), plan.writes);
        self.view = None;
        let outcome = if writes {
            let stages = caller.stages.clone();
            let outcomes = commit(&self.server, vec![plan.unit(watched, caller)], &stages).await;
            self.stages = stages.take();
            outcomes.into_iter().next().unwrap_or_else(|| Err(CommandError::err("the unit had no outcome")))
        } else if plan.is_empty() && watched.len() == 0 {
            Ok(Reply::Array(Vec::new()))
        } else {
            let outcome = unless_gone(&self.stream, &self.client, plan.read(watched, &caller)).await;
            self.stages = caller.stages.take();
            outcome
        };
        let found = match outcome {
            Ok(Reply::Array(found)) => found,
            Ok(changed) => return Ok(Ok(changed)),
            Err(error) => return Ok(Err(aborted(&format!(": {error}")))),
        };
        let took_us = u64::try_from(request.took().as_micros()).unwrap_or(u64::MAX) / (found.len() as u64).max(1);
        let mut replies: Vec<Reply> = multi.queued.iter().map(|_| Reply::Null).collect();
        for (place, reply) in places.into_iter().zip(found) {
            if let Some((entry, args)) = multi.queued.get(place) {
                let error = if let Reply::Error(error) = &reply { Some(error.code) } else { None };
                self.ran.push(Ran { index: entry.index, took_us, error });
                self.audit(entry, args, error);
            }
            if let Some(slot) = replies.get_mut(place) {
                *slot = reply;
            }
        }
        for place in others {
            let Some((entry, args)) = multi.queued.get(place) else { continue };
            let Run::Session(run) = entry.command.run else { continue };
            // It is EXEC that asks for it, at this moment.
            let part = Request { came: request.came, waited: request.came.elapsed(), parent: None };
            self.state.in_exec = true;
            let mut outcome = self.run_session(entry, run, args);
            if let Some(later) = self.state.later.take() {
                outcome = self.finish(later, args).await?;
            }
            if let Some(changes) = self.state.changes.take() {
                (outcome, _) = self.changes(entry, args, part.started(), changes).await?;
            }
            self.state.in_exec = false;
            let took = part.took();
            self.count(entry, took, &outcome);
            self.note_time(entry, args, &part, took, None);
            self.note_end(entry, args, outcome.as_ref().err().map(|error| error.code));
            if let Some(slot) = replies.get_mut(place) {
                *slot = outcome.unwrap_or_else(Reply::Error);
            }
        }
        if std::mem::take(&mut self.state.messages_first) {
            self.take_messages(usize::MAX);
        }
        if self.server.monitors.count() > 0 {
            for (entry, args) in &multi.queued {
                db = selected(entry, args, self.settings.databases).unwrap_or(db);
                self.tell_monitors(entry, args, db);
            }
        }
        Ok(Ok(Reply::Array(replies)))
    }

    /// What was queued and may not be carried out any more: rights may have been cut since.
    fn denied(&self, queued: &[(&'static Entry, Args)]) -> Vec<Option<CommandError>> {
        let one = |(entry, args): &(&'static Entry, Args)| {
            let denial = self.state.user.check(entry, args, &self.settings.limits).err()?;
            let error = denial.error_of_exec();
            self.note_denial(denial.reason, denial.object, self.state.user.name().clone());
            Some(error)
        };
        queued.iter().map(one).collect()
    }
}
