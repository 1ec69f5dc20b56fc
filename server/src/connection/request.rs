//! A request on its way to its answer, and the trace of it.

use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanContext;
use veddb_commands::lookup::Entry;
use veddb_commands::spec::Group;
use veddb_commands::worked::Work;
use veddb_commands::{Args, ErrorCode};

use super::Connection;
use super::answer::microseconds;
use super::publish::publishes;
use crate::execute::now_ms;
use crate::traces::Told;

/// What is known of a request beside what it asks for.
#[derive(Debug)]
pub(super) struct Request {
    /// When it was there. With its connection it names it.
    pub(super) came: Instant,
    /// What of the time since then is not its own: a pause, a wait for others.
    pub(super) waited: Duration,
    /// The span that the client does it for.
    pub(super) parent: Option<Box<SpanContext>>,
}

impl Request {
    /// One that is there now.
    pub(super) fn new() -> Request {
        Request { came: Instant::now(), waited: Duration::ZERO, parent: None }
    }

    /// When it came, as it would have without what it waited for.
    pub(super) fn started(&self) -> Instant {
        self.came + self.waited
    }

    /// What it has taken so far.
    pub(super) fn took(&self) -> Duration {
        self.started().elapsed()
    }
}

impl Connection {
    /// Has its spans be sent, where it is traced; the number of its trace.
    pub(super) fn trace(
        &mut self,
        (entry, args): (&Entry, &Args),
        request: &Request,
        took: Duration,
        error: Option<ErrorCode>,
    ) -> Option<String> {
        let traces = &self.server.traces;
        if !traces.is_on() {
            return None;
        }
        let took_us = microseconds(took);
        if !traces.wants(&self.settings.traces, request.parent.as_deref(), self.settings.is_slow(took_us)) {
            return None;
        }
        let operation = entry.name.to_ascii_uppercase().replace('|', " ");
        let mut attributes = vec![
            KeyValue::new("db.system.name", "veddb"),
            KeyValue::new("db.operation.name", operation.clone()),
            KeyValue::new("db.namespace", self.state.db.to_string()),
            KeyValue::new("client.address", self.client.addr.ip().to_canonical().to_string()),
            KeyValue::new("client.port", i64::from(self.client.addr.port())),
            KeyValue::new("veddb.request.id", self.server.request_id(self.client.id, request.came).to_string()),
        ];
        let mut name = operation;
        if self.state.is_authenticated() {
            attributes.push(KeyValue::new("user.name", String::from_utf8_lossy(self.state.user.name()).into_owned()));
        }
        if let Some(collection) = self.collection_of(entry, args) {
            name = format!("{name} {collection}");
            attributes.push(KeyValue::new("db.collection.name", collection));
        }
        if let Some(Work { plan, examined }) = self.client.worked.of(request.started()) {
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("veddb.plan", plan));
            attributes.push(KeyValue::new("veddb.keys_examined", count(examined.keys)));
            attributes.push(KeyValue::new("veddb.docs_examined", count(examined.documents)));
        }
        if request.waited > Duration::ZERO && !publishes(args) {
            attributes
                .push(KeyValue::new("veddb.waited_us", i64::try_from(request.waited.as_micros()).unwrap_or(i64::MAX)));
        }
        traces.tell(Told {
            name,
            came: request.came,
            parent: request.parent.clone(),
            attributes,
            error: error.map(ErrorCode::as_str),
            stages: std::mem::take(&mut self.stages),
        })
    }

    /// The collection that a request is about, if there is one: where its name should be a filter or a document may stand by mistake, and
    /// what is shown is one of few. A key is a value.
    fn collection_of(&self, entry: &Entry, args: &Args) -> Option<String> {
        let names_one = matches!(entry.command.group, Group::Document | Group::Index) && entry.command.keys.first == 1;
        let name = args.get(1).filter(|_| names_one)?;
        let name = std::str::from_utf8(name).ok()?;
        self.server.store_now()?.view(now_ms()).collection(self.state.db, name).map(|found| found.name().to_owned())
    }
}
