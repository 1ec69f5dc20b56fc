//! One connection, from accept to close, in one task.
//!
//! Reads what is there, runs every whole request in order, answers in order, then reads again. A run of writes of one
//! pipeline goes to the committer as one group. A client that does not read its replies is not served any further, so
//! it holds up itself alone.

mod account;
mod answer;
mod block;
mod changes;
mod exec;
mod publish;
mod request;
mod socket;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use veddb_commands::context::{Asker, Phased, Prepared, ReadContext, Unit, WriteContext};
use veddb_commands::lookup::Entry;
use veddb_commands::session::{Session, Shutdown};
use veddb_commands::spec::{Group, Run};
use veddb_commands::{Args, CommandError, Reply};
use veddb_storage::View;

use crate::audit::Noted;
use crate::client::Client;
use crate::config::{Protected, Settings};
use crate::dispatch::{Admission, Standing, admit};
use crate::encode::Protocol;
use crate::execute::{Caller, Outcome, ReadFn, commit, now_ms, read};
use crate::framer::{Bounds, Framer, ProtocolError};
use crate::limits::Held;
use crate::metrics::Ran;
use crate::multi::is_queued;
use crate::pubsub::mailbox;
use crate::replication::feed;
use crate::server::Server;
use crate::session::{ConnectionSession, State};
use crate::stream::Stream;
use crate::telemetry;
use crate::traces::stages::Stage;
use publish::{Published, publishes};
use request::Request;

/// Replies are sent once this much has come together, or the pipeline is done.
const FLUSH_BYTES: usize = 64 * 1024;
/// What one read asks for at least.
const READ_MIN: usize = 16 * 1024;
/// Writes of one pipeline that go to the committer together.
const GROUP_MAX: usize = 1024;

/// The `run` of a command about the connection or the server.
type SessionFn = fn(&Args, &mut dyn Session) -> Outcome;

/// Mailboxes that a pipeline of messages filled are told after so many, if not before.
const FILLED_MAX: usize = 1024;

/// What one read may cost on a worker, ns: the other connections of the worker wait for it.
const PATIENCE_NS: f64 = 500_000.0;

/// Why a connection ends.
#[derive(Debug)]
enum Closed {
    /// The client left, or the network did.
    Peer,
    /// QUIT, CLIENT KILL, a limit.
    Server,
    /// The server's end.
    Stop,
    /// It is a replica's from now on.
    Fed,
}

/// One connection.
pub struct Connection {
    server: Arc<Server>,
    client: Arc<Client>,
    stream: Stream,
    settings: Arc<Settings>,
    stopping: watch::Receiver<Option<Shutdown>>,
    framer: Framer,
    input: BytesMut,
    output: BytesMut,
    state: State,
    writes: Writes,
    published: Published,
    /// Commands of the pipeline at hand that are not counted yet.
    ran: Vec<Ran>,
    /// What the audit log is to say of them.
    noted: Noted,
    /// What it has taken of its limits beyond what it has used.
    held: Held,
    /// What the next read asks for.
    read_bytes: usize,
    /// What the reads of the pipeline at hand see.
    view: Option<View>,
    /// What the time of the request at hand went to, where it may be traced.
    stages: Vec<Stage>,
}

/// The run of writes that has come together and is not yet committed.
#[derive(Default)]
struct Writes {
    units: Vec<Unit>,
    /// In the order of the requests.
    slots: Vec<Slot>,
}

/// The turn of a write among others.
struct Slot {
    entry: &'static Entry,
    args: Args,
    request: Request,
    /// None is the outcome of the next unit.
    outcome: Option<Outcome>,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(server: Arc<Server>, client: Arc<Client>, stream: Stream) -> Connection {
        let settings = server.config.load();
        Connection {
            state: State::new(&server.acl),
            stopping: server.watch_stop(),
            framer: Framer::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            writes: Writes::default(),
            published: Published::default(),
            view: None,
            stages: Vec::new(),
            ran: Vec::new(),
            noted: Noted::new(Arc::clone(&server)),
            held: Held::default(),
            read_bytes: READ_MIN,
            server,
            client,
            stream,
            settings,
        }
    }

    /// Serves it to its end.
    pub fn run(self) -> impl Future<Output = ()> + Send {
        telemetry::requests(self.run_to_the_end())
    }

    async fn run_to_the_end(mut self) {
        let ended = self.serve().await;
        telemetry::set_request(None);
        self.publish_now();
        self.server.metrics.ran(&mut self.ran, self.settings.latency_tracking);
        self.noted.hand_over();
        self.client.cancelled.store(true, Relaxed);
        mailbox::wake(&mut self.state.filled);
        self.server.monitors.leave(self.client.id);
        if let Some(subscriptions) = self.state.subscriptions.take() {
            self.server.pubsub.leave(&subscriptions);
            if subscriptions.mailbox.is_closed() {
                self.output_limit_passed();
            }
        }
        if let Some(request) = self.state.follower.take().filter(|_| matches!(ended, Err(Closed::Fed))) {
            feed::run(&self.server, &self.client, self.stream, self.input, request).await;
        }
        self.server.clients.remove(self.client.id);
        tracing::debug!(client = self.client.id, ?ended, "connection closed");
        if matches!(ended, Err(Closed::Stop)) {
            // The socket closes when the process ends, as Redis's do: who waits for that after SHUTDOWN finds the data
            // directory left.
            std::future::pending::<()>().await;
        }
    }

    async fn serve(&mut self) -> Result<(), Closed> {
        loop {
            self.settings = self.server.config.load();
            self.run_requests().await?;
            self.view = None;
            self.take_messages(FLUSH_BYTES);
            self.flush().await?;
            if self.state.follower.is_some() {
                return Err(Closed::Fed);
            }
            if self.state.closing || self.client.is_killed() {
                // Nobody may find a connection in the list that its client has seen end.
                self.server.clients.remove(self.client.id);
                // Says to the peer that nothing more comes, so that it reads what was sent before the end.
                let _ = self.stream.shutdown().await;
                return Err(Closed::Server);
            }
            self.read().await?;
        }
    }

    /// Runs every whole request that has arrived.
    async fn run_requests(&mut self) -> Result<(), Closed> {
        while !self.state.closing && self.state.follower.is_none() && !self.client.is_killed() {
            let bounds = self.bounds();
            match self.framer.next(&mut self.input, &bounds) {
                Ok(None) => break,
                Ok(Some(args)) => {
                    self.run_request(Args::new(args)).await?;
                    telemetry::set_request(None);
                }
                Err(error @ ProtocolError::Bad(_)) => {
                    self.finish_runs().await;
                    tracing::debug!(client = self.client.id, %error, "protocol error");
                    let error = CommandError::err(error.to_string());
                    self.server.metrics.rejected(None, error.code);
                    self.reply(&Reply::Error(error));
                    self.state.closing = true;
                }
                Err(ProtocolError::TooBig) => {
                    self.server.metrics.query_buffer_disconnections.fetch_add(1, Relaxed);
                    tracing::warn!(client = self.client.id, addr = %self.client.addr, "closed: client-query-buffer-limit");
                    self.finish_runs().await;
                    self.state.closing = true;
                }
            }
            if self.output.len() > FLUSH_BYTES {
                // Who does not read its replies holds up itself alone.
                self.publish_now();
                self.server.metrics.ran(&mut self.ran, self.settings.latency_tracking);
                self.flush().await?;
            }
            // A long pipeline of cheap commands lets other connections have their turn.
            tokio::task::coop::consume_budget().await;
        }
        self.finish_runs().await;
        self.server.metrics.ran(&mut self.ran, self.settings.latency_tracking);
        mailbox::wake(&mut self.state.filled);
        Ok(())
    }

    async fn run_request(&mut self, mut args: Args) -> Result<(), Closed> {
        let mut request = Request::new();
        telemetry::set_request(Some(self.server.request_id(self.client.id, request.came)));
        // What came before it goes out before its reply.
        self.take_messages(usize::MAX);
        if !self.published.takes(&args) {
            self.publish_now();
        }
        // Only messages that are published one after the other are told together: what comes now may take long.
        if self.state.filled.len() > FILLED_MAX || !publishes(&args) {
            mailbox::wake(&mut self.state.filled);
        }
        if self.state.has_expired() {
            return self.refuse_expired().await;
        }
        self.state.look_at_user(&self.server.acl);
        let is_queued_or_refused = self.state.multi.is_some() && !ends_transaction(&args);
        if !is_queued_or_refused {
            request.parent = self.state.trace_parent.take();
        }
        let standing = Standing {
            user: &self.state.user,
            authenticated: self.state.is_authenticated(),
            only_listens: self.state.only_listens(),
            monitors: self.state.monitors,
            may_debug: self.may_debug(),
            out_of_memory: self.server.is_out_of_memory(),
            posture: self.server.replication.posture(&self.settings),
            transaction: self.state.multi.as_ref().map(|multi| multi.needs),
        };
        let entry = match self.held_to_limits(&args, admit(&args, &standing, &self.settings.limits)) {
            Admission::Run(entry) => entry,
            Admission::Deny(entry, denial) => {
                let error = denial.error(&self.state.user);
                self.client.command.store(entry.index + 1, Relaxed);
                self.note_denial(denial.reason, denial.object, self.state.user.name().clone());
                self.refuse(Some(entry), &args, &request, error).await;
                return Ok(());
            }
            Admission::Refuse(entry, error) => {
                self.refuse(entry, &args, &request, error).await;
                return Ok(());
            }
            Admission::HangUp => {
                tracing::warn!(
                    client = self.client.id,
                    addr = %self.client.addr,
                    "closed: possible security attack, it speaks HTTP (POST or Host:) to this port"
                );
                return Err(Closed::Server);
            }
        };
        if self.server.pause.is_on() {
            // What a command waits for is not what it takes.
            self.publish_now();
            mailbox::wake(&mut self.state.filled);
            request.waited += Box::pin(self.hold_back(entry, &args)).await?;
        }
        self.client.command.store(entry.index + 1, Relaxed);
        self.client.argument_memory.store(args.from(0).iter().map(|arg| arg.len()).sum(), Relaxed);
        if self.state.multi.is_some() && is_queued(entry) {
            self.finish_runs().await;
            return self.queue(entry, args);
        }
        match entry.command.run.with(&args, &self.settings.limits) {
            Run::Write(prepare) => {
                let context = WriteContext {
                    db: self.state.db,
                    now_ms: now_ms(),
                    limits: &self.settings.limits,
                    resp3: self.state.protocol == Protocol::Resp3,
                };
                match prepare(&args, &context) {
                    Ok(Prepared::Unit(unit)) => {
                        self.writes.units.push(unit);
                        self.writes.slots.push(Slot { entry, args, request, outcome: None });
                    }
                    Ok(Prepared::Phased(phased)) => self.run_phased(entry, &args, request, phased).await,
                    // Keeps its turn among the writes around it, which stay one group.
                    Err(error) => self.writes.slots.push(Slot { entry, args, request, outcome: Some(Err(error)) }),
                }
                if self.writes.slots.len() >= GROUP_MAX {
                    self.finish_runs().await;
                }
            }
            Run::Read(run) if entry.command.flags.contains(&"slow-read") => {
                self.finish_runs().await;
                self.run_long_read(entry, request, run, args).await;
            }
            Run::Read(run) => {
                self.finish_runs().await;
                match self.read_here(entry, run, &args, request.started()) {
                    Some(outcome) => self.answer(entry, &args, &request, outcome),
                    None => self.run_long_read(entry, request, run, args).await,
                }
            }
            Run::Session(_) if publishes(&args) && !self.state.listens() => {
                if self.published.is_empty() {
                    self.finish_runs().await;
                }
                self.publish_soon(entry, args, request);
            }
            Run::Session(run) => {
                self.finish_runs().await;
                // It may wait for a store that is being replaced, and that for the views of the one before.
                self.view = None;
                let mut outcome = self.run_session(entry, run, &args);
                if let Some(later) = self.state.later.take() {
                    outcome = Box::pin(self.finish(later, &args)).await?;
                }
                if let Some(changes) = self.state.changes.take() {
                    // It may wait for long, and a slice of what was read would hold all that was read.
                    args = Args::new(args.from(0).iter().map(|arg| Bytes::copy_from_slice(arg)).collect());
                    let waited;
                    (outcome, waited) = Box::pin(self.changes(entry, &args, request.started(), changes)).await?;
                    request.waited += waited;
                }
                if let Some(wait) = self.state.wait.take() {
                    let waited;
                    (outcome, waited) = Box::pin(self.wait_for(wait)).await?;
                    request.waited += waited;
                }
                if std::mem::take(&mut self.state.messages_first) {
                    self.take_messages(usize::MAX);
                }
                if entry.name == "multi" && outcome.is_ok() {
                    // It is EXEC that is meant.
                    self.state.trace_parent = request.parent.take();
                }
                self.answer(entry, &args, &request, outcome);
            }
            Run::Exec => {
                self.finish_runs().await;
                let outcome = Box::pin(self.exec(&request)).await?;
                self.answer(entry, &args, &request, outcome);
            }
            // Its arity asks for a subcommand, and an unknown one was refused, so this is not reached.
            Run::Container | Run::Mixed { .. } => {
                self.answer(entry, &args, &request, Err(CommandError::arity(&entry.name)));
            }
        }
        Ok(())
    }

    /// Refuses what would run where its address or user has asked for too much, or where it cannot be audited. Leaving is always
    /// allowed.
    fn held_to_limits(&mut self, args: &Args, admission: Admission) -> Admission {
        let bytes = args.from(0).iter().map(|arg| arg.len()).sum();
        let user = self.state.authenticated.then(|| self.state.user.name());
        let asked = self.server.limits.request(&mut self.held, self.client.addr.ip(), user, bytes);
        match (admission, asked) {
            (Admission::Run(entry), _) if matches!(entry.name.as_str(), "quit" | "reset") => Admission::Run(entry),
            (Admission::HangUp, _) => Admission::HangUp,
            (Admission::Run(entry) | Admission::Deny(entry, _), Err(error)) => Admission::Refuse(Some(entry), error),
            (Admission::Refuse(entry, _), Err(error)) => Admission::Refuse(entry, error),
            (Admission::Run(entry), Ok(())) => match self.server.audit.admit(entry, args, &self.settings) {
                Ok(()) => Admission::Run(entry),
                Err(error) => Admission::Refuse(Some(entry), error),
            },
            (refused, Ok(())) => refused,
        }
    }

    fn run_session(&mut self, entry: &Entry, run: SessionFn, args: &Args) -> Outcome {
        let about_server = entry.command.group == Group::Server;
        if about_server {
            // What INFO shows includes the requests before it.
            self.server.metrics.ran(&mut self.ran, self.settings.latency_tracking);
        }
        let mut session = ConnectionSession {
            server: &self.server,
            client: &self.client,
            settings: &self.settings,
            state: &mut self.state,
            through_tls: matches!(self.stream, Stream::Tls(_)),
        };
        let outcome = run(args, &mut session);
        if about_server {
            // It may have changed the settings of what follows.
            self.settings = self.server.config.load();
        }
        outcome
    }

    /// What a command does once its longer work is done.
    fn run_then(&mut self, then: SessionFn, args: &Args) -> Outcome {
        let mut session = ConnectionSession {
            server: &self.server,
            client: &self.client,
            settings: &self.settings,
            state: &mut self.state,
            through_tls: matches!(self.stream, Stream::Tls(_)),
        };
        then(args, &mut session)
    }

    /// Runs a read on this task, at the moment that the reads before it in the pipeline saw: all of them arrived before
    /// the first was answered, and what this connection wrote since makes a new moment. None: it would take too long here.
    fn read_here(&mut self, entry: &Entry, run: ReadFn, args: &Args, started: Instant) -> Option<Outcome> {
        let view = match &mut self.view {
            Some(view) => view,
            none => match self.server.loaded() {
                Ok(store) => none.insert(store.view(now_ms())),
                Err(error) => return Some(Err(error)),
            },
        };
        let asker = Asker {
            db: self.state.db,
            client: self.client.id,
            user: &self.state.user,
            limits: &self.settings.limits,
            queries: &self.server.queries,
            cancelled: &self.client.cancelled,
            started,
            resp3: self.state.protocol == Protocol::Resp3,
            worked: &self.client.worked,
        };
        let max_time_ms = entry.command.max_time_ms(args, &self.settings.limits);
        let context = ReadContext { patience_ns: Some(PATIENCE_NS), max_time_ms, ..ReadContext::new(view, asker) };
        let outcome = read(run, args, &context);
        if context.deferred.get() {
            self.client.worked.forget();
            return None;
        }
        Some(outcome)
    }

    async fn run_phased(&mut self, entry: &'static Entry, args: &Args, request: Request, phased: Box<dyn Phased>) {
        self.finish_runs().await;
        self.noted.hand_over();
        let caller = self.caller(request.started());
        self.view = None;
        let outcome = unless_gone(&self.stream, &self.client, caller.phased(phased)).await;
        self.stages = caller.stages.take();
        self.answer(entry, args, &request, outcome);
    }

    async fn run_long_read(&mut self, entry: &'static Entry, request: Request, run: ReadFn, args: Args) {
        self.noted.hand_over();
        let caller = self.caller(request.started());
        // It sees a later moment, before which the reads after it must not go back.
        self.view = None;
        let max_time_ms = entry.command.max_time_ms(&args, &self.settings.limits);
        let outcome = unless_gone(&self.stream, &self.client, caller.read_long(run, args.clone(), max_time_ms)).await;
        self.stages = caller.stages.take();
        self.answer(entry, &args, &request, outcome);
    }

    /// Carries out what came together, writes or messages, and answers it.
    async fn finish_runs(&mut self) {
        self.publish_now();
        if self.writes.slots.is_empty() {
            return;
        }
        self.view = None;
        // What was done before is not to be forgotten with what may take long.
        self.noted.hand_over();
        let Writes { units, slots } = std::mem::take(&mut self.writes);
        let stages = self.server.traces.stages();
        let outcomes = if units.is_empty() { Vec::new() } else { commit(&self.server, units, &stages).await };
        let stages = stages.take();
        let mut outcomes = outcomes.into_iter();
        for Slot { entry, args, request, outcome } in slots {
            let outcome = outcome.or_else(|| outcomes.next());
            let outcome = outcome.unwrap_or_else(|| Err(CommandError::err("the write had no outcome")));
            // All of them waited for the same group.
            self.stages.clone_from(&stages);
            self.answer(entry, &args, &request, outcome);
        }
    }

    /// Whether DEBUG may come over this connection.
    fn may_debug(&self) -> bool {
        match self.settings.enable_debug_command {
            Protected::No => false,
            Protected::Local => self.client.addr.ip().to_canonical().is_loopback(),
            Protected::Yes => true,
        }
    }

    fn caller(&self, started: Instant) -> Caller {
        Caller {
            server: Arc::clone(&self.server),
            client: Arc::clone(&self.client),
            user: Arc::clone(&self.state.user),
            db: self.state.db,
            limits: self.settings.limits,
            started,
            resp3: self.state.protocol == Protocol::Resp3,
            stages: self.server.traces.stages(),
        }
    }

    fn bounds(&self) -> Bounds {
        if !self.state.is_authenticated() {
            return Bounds::UNAUTHENTICATED;
        }
        Bounds {
            arguments: Bounds::ARGUMENTS_MAX,
            argument_bytes: i64::try_from(self.settings.limits.proto_max_bulk_len).unwrap_or(i64::MAX),
            buffer_bytes: self.settings.client_query_buffer_limit,
            unauthenticated: false,
        }
    }
}

/// Whether a request is one that a transaction ends with.
fn ends_transaction(args: &Args) -> bool {
    ["EXEC", "DISCARD", "RESET", "QUIT"].iter().any(|name| args.is(0, name))
}

/// Awaits long work, and tells it when the client is gone meanwhile, so that it ends early.
async fn unless_gone(stream: &Stream, client: &Client, work: impl Future<Output = Outcome>) -> Outcome {
    tokio::pin!(work);
    tokio::select! {
        outcome = &mut work => return outcome,
        () = stream.ended() => {}
    }
    client.cancelled.store(true, Relaxed);
    work.await
}
