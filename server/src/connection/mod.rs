//! One connection, from accept to close, in one task.
//!
//! Reads what is there, runs every whole request in order, answers in order, then reads again. A run of writes of one
//! pipeline goes to the committer as one group. A client that does not read its replies is not served any further, so
//! it holds up itself alone.

mod exec;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use veddb_commands::context::{Asker, Phased, Prepared, ReadContext, Unit, WriteContext};
use veddb_commands::lookup::Entry;
use veddb_commands::session::{Session, Shutdown};
use veddb_commands::spec::{Group, Run};
use veddb_commands::{Args, CommandError, Reply};
use veddb_storage::View;

use crate::client::Client;
use crate::config::Settings;
use crate::dispatch::{Admission, Standing, admit};
use crate::encode::encode;
use crate::execute::{Caller, Outcome, ReadFn, commit, now_ms, read};
use crate::framer::{Bounds, Framer, ProtocolError};
use crate::metrics::Ran;
use crate::multi::is_queued;
use crate::pubsub::mailbox;
use crate::server::Server;
use crate::session::{ConnectionSession, State};

/// Replies are sent once this much has come together, or the pipeline is done.
const FLUSH_BYTES: usize = 64 * 1024;
/// What one read asks for at least, and the most it sets aside for an argument that was announced.
const READ_MIN: usize = 16 * 1024;
const READ_MAX: usize = 1024 * 1024;
/// What one read asks for at most of a client that keeps filling its buffer.
const READ_AHEAD_MAX: usize = 512 * 1024;
/// An empty buffer larger than this is given back.
const KEEP_BYTES: usize = 1024 * 1024;
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
}

/// What a connection waited for.
enum Woken {
    /// The client sent something.
    Bytes,
    /// There are messages for it.
    Messages,
}

/// One connection.
pub struct Connection {
    server: Arc<Server>,
    client: Arc<Client>,
    socket: TcpStream,
    settings: Arc<Settings>,
    stopping: watch::Receiver<Option<Shutdown>>,
    framer: Framer,
    input: BytesMut,
    output: BytesMut,
    state: State,
    writes: Writes,
    /// Commands of the pipeline at hand that are not counted yet.
    ran: Vec<Ran>,
    /// What the next read asks for.
    read_bytes: usize,
    /// What the reads of the pipeline at hand see.
    view: Option<View>,
}

/// The run of writes that has come together and is not yet committed.
#[derive(Default)]
struct Writes {
    units: Vec<Unit>,
    /// In the order of the requests; None is the outcome of the next unit.
    slots: Vec<(&'static Entry, Instant, Option<Outcome>)>,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(server: Arc<Server>, client: Arc<Client>, socket: TcpStream) -> Connection {
        let settings = server.config.load();
        Connection {
            state: State::new(&settings),
            stopping: server.watch_stop(),
            framer: Framer::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            writes: Writes::default(),
            view: None,
            ran: Vec::new(),
            read_bytes: READ_MIN,
            server,
            client,
            socket,
            settings,
        }
    }

    /// Serves it to its end.
    pub async fn run(mut self) {
        let ended = self.serve().await;
        self.server.metrics.ran(&mut self.ran);
        self.client.cancelled.store(true, Relaxed);
        mailbox::wake(&mut self.state.filled);
        if let Some(subscriptions) = self.state.subscriptions.take() {
            self.server.pubsub.leave(&subscriptions);
            if subscriptions.mailbox.is_closed() {
                self.output_limit_passed();
            }
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
            if self.state.closing || self.client.is_killed() {
                // Nobody may find a connection in the list that its client has seen end.
                self.server.clients.remove(self.client.id);
                // Says to the peer that nothing more comes, so that it reads what was sent before the end.
                let _ = self.socket.shutdown().await;
                return Err(Closed::Server);
            }
            self.read().await?;
        }
    }

    /// Runs every whole request that has arrived.
    async fn run_requests(&mut self) -> Result<(), Closed> {
        while !self.state.closing && !self.client.is_killed() {
            let bounds = self.bounds();
            match self.framer.next(&mut self.input, &bounds) {
                Ok(None) => break,
                Ok(Some(args)) => self.run_request(Args::new(args)).await?,
                Err(error @ ProtocolError::Bad(_)) => {
                    self.finish_writes().await;
                    tracing::debug!(client = self.client.id, %error, "protocol error");
                    self.reply(&Reply::Error(CommandError::err(error.to_string())));
                    self.state.closing = true;
                }
                Err(ProtocolError::TooBig) => {
                    self.server.metrics.query_buffer_disconnections.fetch_add(1, Relaxed);
                    tracing::warn!(client = self.client.id, addr = %self.client.addr, "closed: client-query-buffer-limit");
                    self.finish_writes().await;
                    self.state.closing = true;
                }
            }
            if self.output.len() > FLUSH_BYTES {
                self.server.metrics.ran(&mut self.ran);
                self.flush().await?;
            }
            // A long pipeline of cheap commands lets other connections have their turn.
            tokio::task::coop::consume_budget().await;
        }
        self.finish_writes().await;
        self.server.metrics.ran(&mut self.ran);
        mailbox::wake(&mut self.state.filled);
        Ok(())
    }

    /// Takes messages that came for this connection, until there are so many bytes to send.
    fn take_messages(&mut self, most: usize) {
        if let Some(subscriptions) = &self.state.subscriptions
            && subscriptions.mailbox.is_filled()
        {
            subscriptions.mailbox.take(&mut self.output, most);
        }
    }

    async fn run_request(&mut self, args: Args) -> Result<(), Closed> {
        let started = Instant::now();
        // What came before it goes out before its reply.
        self.take_messages(usize::MAX);
        // Only messages that are published one after the other are told together: what comes now may take long.
        if self.state.filled.len() > FILLED_MAX || !publishes(&args) {
            mailbox::wake(&mut self.state.filled);
        }
        let standing = Standing { authenticated: self.state.authenticated, only_listens: self.state.only_listens() };
        let entry = match admit(&args, standing) {
            Admission::Run(entry) => entry,
            Admission::Refuse(entry, error) => {
                self.finish_writes().await;
                if let Some(multi) = &mut self.state.multi {
                    multi.refused = true;
                }
                self.server.metrics.rejected(entry, error.code);
                self.reply(&Reply::Error(error));
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
        self.client.command.store(entry.index + 1, Relaxed);
        self.client.argument_memory.store(args.from(0).iter().map(|arg| arg.len()).sum(), Relaxed);
        if self.state.multi.is_some() && is_queued(entry) {
            self.finish_writes().await;
            return self.queue(entry, args);
        }
        match entry.command.run.with(&args, &self.settings.limits) {
            Run::Write(prepare) => {
                let context = WriteContext { db: self.state.db, now_ms: now_ms(), limits: &self.settings.limits };
                match prepare(&args, &context) {
                    Ok(Prepared::Unit(unit)) => {
                        self.writes.units.push(unit);
                        self.writes.slots.push((entry, started, None));
                    }
                    Ok(Prepared::Phased(phased)) => self.run_phased(entry, started, phased).await,
                    // Keeps its turn among the writes around it, which stay one group.
                    Err(error) => self.writes.slots.push((entry, started, Some(Err(error)))),
                }
                if self.writes.slots.len() >= GROUP_MAX {
                    self.finish_writes().await;
                }
            }
            Run::Read(run) if entry.command.flags.contains(&"slow-read") => {
                self.finish_writes().await;
                self.run_long_read(entry, started, run, args).await;
            }
            Run::Read(run) => {
                self.finish_writes().await;
                match self.read_here(run, &args, started) {
                    Some(outcome) => self.answer(entry, started, outcome),
                    None => self.run_long_read(entry, started, run, args).await,
                }
            }
            Run::Session(run) => {
                self.finish_writes().await;
                let outcome = self.run_session(entry, run, &args);
                if std::mem::take(&mut self.state.messages_first) {
                    self.take_messages(usize::MAX);
                }
                self.answer(entry, started, outcome);
            }
            Run::Exec => {
                self.finish_writes().await;
                let outcome = self.exec(started).await;
                self.answer(entry, started, outcome);
            }
            // Its arity asks for a subcommand, and an unknown one was refused, so this is not reached.
            Run::Container | Run::Mixed { .. } => self.answer(entry, started, Err(CommandError::arity(&entry.name))),
        }
        Ok(())
    }

    fn run_session(&mut self, entry: &Entry, run: SessionFn, args: &Args) -> Outcome {
        let about_server = entry.command.group == Group::Server;
        if about_server {
            // What INFO shows includes the requests before it.
            self.server.metrics.ran(&mut self.ran);
        }
        let mut session = ConnectionSession {
            server: &self.server,
            client: &self.client,
            settings: &self.settings,
            state: &mut self.state,
        };
        let outcome = run(args, &mut session);
        if about_server {
            // It may have changed the settings of what follows.
            self.settings = self.server.config.load();
        }
        outcome
    }

    /// Runs a read on this task, at the moment that the reads before it in the pipeline saw: all of them arrived before
    /// the first was answered, and what this connection wrote since makes a new moment. None: it would take too long here.
    fn read_here(&mut self, run: ReadFn, args: &Args, started: Instant) -> Option<Outcome> {
        let view = self.view.get_or_insert_with(|| self.server.store.view(now_ms()));
        let asker = Asker {
            db: self.state.db,
            client: self.client.id,
            limits: &self.settings.limits,
            queries: &self.server.queries,
            cancelled: &self.client.cancelled,
            started,
        };
        let context = ReadContext { patience_ns: Some(PATIENCE_NS), ..ReadContext::new(view, asker) };
        let outcome = read(run, args, &context);
        if context.deferred.get() { None } else { Some(outcome) }
    }

    async fn run_phased(&mut self, entry: &'static Entry, started: Instant, phased: Box<dyn Phased>) {
        self.finish_writes().await;
        let caller = self.caller(started);
        self.view = None;
        let outcome = unless_gone(&self.socket, &self.client, caller.phased(phased)).await;
        self.answer(entry, started, outcome);
    }

    async fn run_long_read(&mut self, entry: &'static Entry, started: Instant, run: ReadFn, args: Args) {
        let caller = self.caller(started);
        // It sees a later moment, before which the reads after it must not go back.
        self.view = None;
        let outcome = unless_gone(&self.socket, &self.client, caller.read_long(run, args)).await;
        self.answer(entry, started, outcome);
    }

    /// Has the writes that came together committed, and answers them.
    async fn finish_writes(&mut self) {
        if self.writes.slots.is_empty() {
            return;
        }
        self.view = None;
        let Writes { units, slots } = std::mem::take(&mut self.writes);
        let outcomes = if units.is_empty() { Vec::new() } else { commit(&self.server, units).await };
        let mut outcomes = outcomes.into_iter();
        for (entry, started, outcome) in slots {
            let outcome = outcome.or_else(|| outcomes.next());
            let outcome = outcome.unwrap_or_else(|| Err(CommandError::err("the write had no outcome")));
            self.answer(entry, started, outcome);
        }
    }

    fn answer(&mut self, entry: &'static Entry, started: Instant, outcome: Outcome) {
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let error = outcome.as_ref().err().map(|error| error.code);
        self.ran.push(Ran { index: entry.index, took_us, error });
        self.reply(&outcome.unwrap_or_else(Reply::Error));
    }

    fn reply(&mut self, reply: &Reply) {
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

    fn caller(&self, started: Instant) -> Caller {
        Caller {
            server: Arc::clone(&self.server),
            client: Arc::clone(&self.client),
            db: self.state.db,
            limits: self.settings.limits,
            started,
        }
    }

    fn bounds(&self) -> Bounds {
        if !self.state.authenticated {
            return Bounds::UNAUTHENTICATED;
        }
        Bounds {
            arguments: Bounds::ARGUMENTS_MAX,
            argument_bytes: i64::try_from(self.settings.limits.proto_max_bulk_len).unwrap_or(i64::MAX),
            buffer_bytes: self.settings.client_query_buffer_limit,
            unauthenticated: false,
        }
    }

    /// Waits for bytes, or for a reason to close.
    async fn read(&mut self) -> Result<(), Closed> {
        if self.input.is_empty() && self.input.capacity() > KEEP_BYTES {
            self.input = BytesMut::new();
        }
        if self.stopping.borrow().is_some() {
            return Err(Closed::Stop);
        }
        let count = loop {
            if let Some(count) = self.read_what_is_there()? {
                break count;
            }
            // A connection that says nothing holds nothing.
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            self.output = BytesMut::new();
            self.note_buffers();
            if let Woken::Messages = self.wait().await? {
                return Ok(());
            }
        };
        // A client that fills the buffer sends a long pipeline: the more of it is read at once, the more of its writes share
        // one sync.
        let filled = self.input.len() == self.input.capacity();
        self.read_bytes = if filled { (self.read_bytes * 2).min(READ_AHEAD_MAX) } else { READ_MIN };
        self.server.metrics.net_input_bytes.fetch_add(count as u64, Relaxed);
        self.client.touch();
        self.note_buffers();
        Ok(())
    }

    /// Reads without waiting; None where nothing has come.
    fn read_what_is_there(&mut self) -> Result<Option<usize>, Closed> {
        self.input.reserve(self.framer.wanted(&self.input).clamp(self.read_bytes, READ_MAX));
        match self.socket.try_read_buf(&mut self.input) {
            Ok(0) => Err(Closed::Peer),
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(_) => Err(Closed::Peer),
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<Woken, Closed> {
        let idle = async {
            match self.settings.timeout_s {
                // Who listens need not say anything.
                _ if self.state.is_subscriber() => std::future::pending().await,
                0 => std::future::pending().await,
                seconds => tokio::time::sleep(Duration::from_secs(seconds)).await,
            }
        };
        tokio::select! {
            readable = self.socket.readable() => readable.map(|()| Woken::Bytes).map_err(|_| Closed::Peer),
            () = filled(&self.state) => Ok(Woken::Messages),
            () = self.client.killed() => Err(Closed::Server),
            _ = self.stopping.wait_for(Option::is_some) => Err(Closed::Stop),
            () = idle => {
                tracing::debug!(client = self.client.id, "closed: idle");
                Err(Closed::Server)
            }
        }
    }

    fn note_buffers(&self) {
        self.client.query_buffer.store(self.input.len() + self.framer.held(), Relaxed);
        self.client.query_buffer_free.store(self.input.capacity() - self.input.len(), Relaxed);
        self.client.reply_buffer.store(self.output.capacity(), Relaxed);
    }

    /// Sends what was replied.
    async fn flush(&mut self) -> Result<(), Closed> {
        // Whoever published and does not read its replies holds up itself alone.
        mailbox::wake(&mut self.state.filled);
        let length = self.output.len();
        if length == 0 {
            return Ok(());
        }
        self.client.output_length.store(length, Relaxed);
        self.client.reply_buffer_peak.fetch_max(length, Relaxed);
        let limits = &self.settings.client_output_buffer_limit;
        let limit = if self.state.is_subscriber() { limits.pubsub } else { limits.normal };
        if limit.hard_bytes > 0 && length > limit.hard_bytes {
            return Err(self.output_limit_passed());
        }
        let soft = limit.soft_bytes > 0 && length > limit.soft_bytes;
        let patience = async {
            if soft {
                tokio::time::sleep(Duration::from_secs(limit.soft_s)).await
            } else {
                std::future::pending().await
            }
        };
        let sent = tokio::select! {
            biased;
            sent = self.socket.write_all_buf(&mut self.output) => Some(sent),
            () = self.client.killed() => return Err(Closed::Server),
            () = patience => None,
        };
        match sent {
            Some(sent) => sent.map_err(|_| Closed::Peer)?,
            None => return Err(self.output_limit_passed()),
        }
        if self.output.capacity() > KEEP_BYTES {
            self.output = BytesMut::new();
        }
        self.server.metrics.net_output_bytes.fetch_add(length as u64, Relaxed);
        self.client.output_length.store(0, Relaxed);
        Ok(())
    }

    fn output_limit_passed(&self) -> Closed {
        self.server.metrics.output_buffer_disconnections.fetch_add(1, Relaxed);
        tracing::warn!(client = self.client.id, addr = %self.client.addr, "closed: client-output-buffer-limit");
        Closed::Server
    }
}

/// Whether a request only sends a message.
fn publishes(args: &Args) -> bool {
    ["PUBLISH", "SPUBLISH"].iter().any(|name| args.is(0, name))
}

/// Returns once there are messages for the connection.
async fn filled(state: &State) {
    match &state.subscriptions {
        Some(subscriptions) => subscriptions.mailbox.filled().await,
        None => std::future::pending().await,
    }
}

/// Awaits long work, and tells it when the client is gone meanwhile, so that it ends early.
async fn unless_gone(socket: &TcpStream, client: &Client, work: impl Future<Output = Outcome>) -> Outcome {
    tokio::pin!(work);
    let gone = async {
        // Bytes are the next request; the end or an error is what is looked for.
        if matches!(socket.peek(&mut [0]).await, Ok(1..)) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        outcome = &mut work => return outcome,
        () = gone => {}
    }
    client.cancelled.store(true, Relaxed);
    work.await
}
