//! Answering: the reply, and all who want to know what was done.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use veddb_commands::lookup::Entry;
use veddb_commands::worked::Work;
use veddb_commands::{Args, ErrorCode, Reply};

use super::Connection;
use super::request::Request;
use crate::config::Settings;
use crate::encode::encode;
use crate::execute::Outcome;
use crate::latency::{COMMAND, FAST_COMMAND};
use crate::metrics::Ran;
use crate::slowlog::Slow;
use crate::telemetry;

impl Connection {
    /// Answers a command that was carried out.
    pub(super) fn answer(&mut self, entry: &'static Entry, args: &Args, request: &Request, outcome: Outcome) {
        // Another one may be at hand, before which this is answered.
        let at_hand = telemetry::request();
        telemetry::set_request(Some(self.server.request_id(self.client.id, request.came)));
        if self.state.is_authenticated() && !self.client.greeted.load(Relaxed) {
            self.client.greeted.store(true, Relaxed);
        }
        let took = request.took();
        self.count(entry, took, &outcome);
        let error = outcome.as_ref().err().map(|error| error.code);
        let trace = self.trace((entry, args), request, took, error);
        self.stages.clear();
        self.note_time(entry, args, request, took, trace);
        self.note_end(entry, args, error);
        self.reply(&outcome.unwrap_or_else(Reply::Error));
        self.tell_monitors(entry, args, self.state.db);
        telemetry::set_request(at_hand);
    }

    /// Counts a command that was carried out.
    pub(super) fn count(&mut self, entry: &Entry, took: Duration, outcome: &Outcome) {
        let error = outcome.as_ref().err().map(|error| error.code);
        self.ran.push(Ran { index: entry.index, took_us: microseconds(took), error });
    }

    /// Has the audit log say how it ended, as far as that is for it; and the server's log why a token was refused.
    pub(super) fn note_end(&mut self, entry: &'static Entry, args: &Args, error: Option<ErrorCode>) {
        let refused = self.state.refused_token.take();
        // A wrong password takes its time, so there are not many; a wrong token, and what else a stranger sends, costs nothing.
        let was_noted = match (&refused, error) {
            (Some(_), _) => std::mem::replace(&mut self.state.token_noted, true),
            (None, None | Some(ErrorCode::WrongPass)) => false,
            (None, Some(_)) => self.was_noted(),
        };
        if was_noted {
            return;
        }
        self.audit(entry, args, error);
        if let Some(why) = refused {
            tracing::info!(client = self.client.id, addr = %self.client.addr, %why, "authentication failed");
        }
    }

    /// Has the audit log say how it ended.
    pub(super) fn audit(&mut self, entry: &'static Entry, args: &Args, error: Option<ErrorCode>) {
        let Settings { audit, limits, .. } = &*self.settings;
        self.noted.note(audit, (entry, args), &self.client, limits, error);
    }

    /// Has it be known where it took long.
    pub(super) fn note_time(
        &self,
        entry: &Entry,
        args: &Args,
        request: &Request,
        took: Duration,
        trace: Option<String>,
    ) {
        if self.settings.is_slow(microseconds(took)) {
            self.note_slow(entry, args, request, took, trace);
        }
        if self.server.latency.is_long(took) {
            let is_fast = entry.command.flags.contains(&"fast");
            self.server.latency.note(if is_fast { FAST_COMMAND } else { COMMAND }, took);
        }
    }

    fn note_slow(&self, entry: &Entry, args: &Args, request: &Request, took: Duration, trace: Option<String>) {
        let (took_us, most) = (microseconds(took), self.settings.slowlog_max_len);
        let work = self.client.worked.of(request.started());
        let (command, addr) = (&entry.name, &self.client.addr);
        match &work {
            Some(Work { plan, examined }) => tracing::info!(
                %addr, command, took_us, plan, keys_examined = examined.keys, docs_examined = examined.documents, trace,
                "slow command"
            ),
            None => tracing::info!(%addr, command, took_us, trace, "slow command"),
        }
        let request = self.server.request_id(self.client.id, request.came).to_string();
        self.server.slowlog.add((entry, args), &self.client, Slow { request, trace, took_us, work }, most);
    }

    /// Shows it to who hears of every command.
    pub(super) fn tell_monitors(&mut self, entry: &Entry, args: &Args, db: u8) {
        if self.server.monitors.count() == 0 {
            return;
        }
        let addr = self.client.addr.to_string();
        let limit = &self.settings.client_output_buffer_limit.pubsub;
        self.server.monitors.tell(entry, args, (db, &addr), limit, &mut self.state.filled);
    }

    /// Appends a reply, where the client wants to hear any.
    pub(super) fn reply(&mut self, reply: &Reply) {
        // Messages are sent whatever the client wants to hear.
        let is_message = matches!(reply, Reply::Push(_) | Reply::Several(_));
        if self.state.replies_off && !is_message {
            return;
        }
        if self.state.skip_replies > 0 && !is_message {
            self.state.skip_replies -= 1;
            return;
        }
        if let Reply::Array(_) = reply {
            // A long one would be copied, and held twice, each time the buffer grows.
            self.output.reserve(reply.size());
        }
        encode(reply, self.state.protocol, &mut self.output);
    }
}

pub(super) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
