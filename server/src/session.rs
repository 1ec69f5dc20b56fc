//! [`Session`] for a connection: what session commands see and change.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry::trace::SpanContext;
use veddb_commands::CommandError;
use veddb_commands::access::{Accounts, User};
use veddb_commands::changes::Changes;
use veddb_commands::context::Limits;
use veddb_commands::figures::{Latencies, LatencyEvent, Memory, SlowCommand};
use veddb_commands::replication::{FailoverRequest, FollowRequest, Order, ReplicaInfo, Role};
use veddb_commands::session::{
    ClientInfo, DenialEntry, InfoSection, Later, LibraryField, Paused, ReplyMode, Session, Shutdown, Subscription,
    TokenInfo, Unblock, Wait,
};

use crate::acl::{Acl, is_open};
use crate::client::Client;
use crate::config::{Primary, Settings, rewrite};
use crate::encode::Protocol;
use crate::execute::now_ms;
use crate::metrics::KeyCounts;
use crate::multi::{Multi, Watched};
use crate::pubsub::Subscriptions;
use crate::pubsub::mailbox::{Filled, Mailbox};
use crate::replication::{failover, recruit};
use crate::server::Server;
use crate::token::{Refused, Token};
use crate::traces;

/// What a connection's commands change and only its own task reads.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) db: u8,
    pub(crate) protocol: Protocol,
    /// Whether a password was given that was right at the time, or none was needed.
    pub(crate) authenticated: bool,
    /// The audit log has an attempt of it from before it got in.
    pub(crate) stranger_noted: bool,
    /// The logs have a token of this connection that was refused: one is enough, for they cost nothing.
    pub(crate) token_noted: bool,
    /// Why the token was refused that the command at hand came with.
    pub(crate) refused_token: Option<Refused>,
    /// Who it is, as of a generation of users and roles.
    pub(crate) user: Arc<User>,
    /// The token that it got in with, if it was one: what it narrows, `user` has been narrowed by.
    pub(crate) token: Option<Arc<Token>>,
    pub(crate) generation: u64,
    /// Whether nobody needs a password, as of then.
    pub(crate) open: bool,
    /// What the command at hand is answered by.
    pub(crate) later: Option<Later>,
    pub(crate) replies_off: bool,
    /// How many of the next replies are left out.
    pub(crate) skip_replies: u8,
    /// Set when the connection ends after what was replied is sent.
    pub(crate) closing: bool,
    /// The transaction that has begun.
    pub(crate) multi: Option<Multi>,
    /// What the next one depends on.
    pub(crate) watched: Watched,
    /// What it listens to, once it did.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// The mailboxes that its messages went to, and whose connections are still to be woken.
    pub(crate) filled: Filled,
    /// It hears of every command.
    pub(crate) monitors: bool,
    /// What the answer to the command at hand waits for.
    pub(crate) wait: Option<Wait>,
    /// What changes are to be its answer.
    pub(crate) changes: Option<Box<Changes>>,
    /// The command at hand is one of a transaction's.
    pub(crate) in_exec: bool,
    /// What it is to be fed as a replica, once this was answered.
    pub(crate) follower: Option<FollowRequest>,
    /// The span that the next command is done for.
    pub(crate) trace_parent: Option<Box<SpanContext>>,
    /// Messages that came before are sent before the next reply, since that says there will be no more.
    pub(crate) messages_first: bool,
}

impl State {
    /// A new connection's. It needs no password if there is none at this moment, as in Redis.
    pub(crate) fn new(acl: &Acl) -> State {
        // Before what it is of, so that a change in between is seen.
        let generation = acl.generation();
        let accounts = acl.load();
        State {
            user: Arc::clone(accounts.default_user()),
            token: None,
            generation,
            stranger_noted: false,
            token_noted: false,
            refused_token: None,
            open: is_open(&accounts),
            later: None,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated: is_open(&accounts),
            replies_off: false,
            skip_replies: 0,
            closing: false,
            multi: None,
            watched: Watched::default(),
            subscriptions: None,
            filled: Filled::new(),
            monitors: false,
            wait: None,
            changes: None,
            in_exec: false,
            follower: None,
            trace_parent: None,
            messages_first: false,
        }
    }

    /// What it listens to, with its mailbox, from now on.
    fn listening(&mut self, client: &Arc<Client>) -> &mut Subscriptions {
        let protocol = self.protocol;
        self.subscriptions.get_or_insert_with(|| Box::new(Subscriptions::new(Mailbox::new(client, protocol))))
    }

    /// Shows others how far its transaction is.
    pub(crate) fn note_transaction(&self, client: &Client) {
        let (queued, bytes) = self.multi.as_ref().map_or((0, 0), |multi| (multi.queued.len() + 1, multi.bytes));
        client.queued.store(queued, Relaxed);
        client.queued_memory.store(bytes, Relaxed);
        client.watched.store(self.watched.len(), Relaxed);
    }

    /// Whether it listens to anything.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscriptions.as_ref().is_some_and(|subscriptions| subscriptions.len() > 0)
    }

    /// Whether it listens to anything, or hears of every command.
    pub(crate) fn listens(&self) -> bool {
        self.monitors || self.is_subscriber()
    }

    /// Whether it may only say what listeners say: what comes over it is taken for messages.
    pub(crate) fn only_listens(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.is_subscriber()
    }
}

/// One connection while one session command runs.
pub(crate) struct ConnectionSession<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) client: &'a Arc<Client>,
    pub(crate) settings: &'a Settings,
    pub(crate) state: &'a mut State,
    /// Whether what is said here is sealed on the wire.
    pub(crate) through_tls: bool,
}

impl ConnectionSession<'_> {
    fn note_transaction(&self) {
        self.state.note_transaction(self.client);
    }

    fn note_subscriptions(&self) {
        let count = |kind| self.state.subscriptions.as_ref().map_or(0, |all| all.names(kind).len());
        self.client.channels.store(count(Subscription::Channel), Relaxed);
        self.client.patterns.store(count(Subscription::Pattern), Relaxed);
        self.client.shard_channels.store(count(Subscription::Shard), Relaxed);
    }
}

impl Session for ConnectionSession<'_> {
    fn client(&self) -> ClientInfo {
        self.client.info()
    }

    fn clients(&self) -> Vec<ClientInfo> {
        self.server.clients.list().iter().map(|client| client.info()).collect()
    }

    fn kill_client(&mut self, id: u64) -> bool {
        if id == self.client.id {
            self.state.closing = true;
            return true;
        }
        let Some(client) = self.server.clients.get(id) else { return false };
        client.kill();
        true
    }

    fn set_protocol(&mut self, version: u8) {
        self.state.protocol = if version == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
        if let Some(subscriptions) = &self.state.subscriptions {
            subscriptions.mailbox.set_protocol(self.state.protocol);
        }
        self.client.protocol.store(version, Relaxed);
    }

    fn select(&mut self, db: u8) {
        self.state.db = db;
        self.client.db.store(db, Relaxed);
    }

    fn databases(&self) -> u8 {
        self.settings.databases
    }

    fn set_name(&mut self, name: &[u8]) {
        self.client.texts.lock().name = String::from_utf8_lossy(name).into_owned();
    }

    fn set_library(&mut self, field: LibraryField, value: &[u8]) {
        let value = String::from_utf8_lossy(value).into_owned();
        let mut texts = self.client.texts.lock();
        match field {
            LibraryField::Name => texts.library_name = value,
            LibraryField::Version => texts.library_version = value,
        }
    }

    fn set_trace_parent(&mut self, parent: &[u8], state: Option<&[u8]>) -> bool {
        let parent = traces::parent(parent, state);
        let is_one = parent.is_some();
        self.state.trace_parent = parent.filter(|_| self.server.traces.is_on()).map(Box::new);
        is_one
    }

    fn set_no_evict(&mut self, on: bool) {
        self.client.no_evict.store(on, Relaxed);
    }

    fn set_no_touch(&mut self, on: bool) {
        self.client.no_touch.store(on, Relaxed);
    }

    fn set_reply_mode(&mut self, mode: ReplyMode) {
        match mode {
            ReplyMode::On => (self.state.replies_off, self.state.skip_replies) = (false, 0),
            ReplyMode::Off => self.state.replies_off = true,
            // Its own reply and the next one.
            ReplyMode::Skip => self.state.skip_replies = 2,
        }
    }

    fn is_authenticated(&self) -> bool {
        self.state.is_authenticated()
    }

    fn user(&self) -> Arc<User> {
        Arc::clone(&self.state.user)
    }

    fn accounts(&self) -> Arc<Accounts> {
        self.server.acl.load()
    }

    fn token(&self) -> Option<Bytes> {
        self.state.token.as_ref().map(|token| token.jti.clone())
    }

    fn tokens(&self) -> Vec<TokenInfo> {
        self.server.acl.tokens.list(now_ms())
    }

    fn later(&mut self, work: Later) {
        self.state.later = Some(work);
    }

    fn limits(&self) -> Limits {
        self.settings.limits
    }

    fn has_acl_file(&self) -> bool {
        self.server.acl.has_file()
    }

    fn denials(&self, most: usize) -> Vec<DenialEntry> {
        self.server.acl.denials.latest(most)
    }

    fn forget_denials(&mut self) {
        self.server.acl.denials.clear();
    }

    fn subscribe(&mut self, kind: Subscription, name: &Bytes) -> Result<usize, CommandError> {
        let subscriptions = self.state.listening(self.client);
        let most = self.settings.max_subscriptions_per_client;
        if subscriptions.len() >= most && !subscriptions.names(kind).contains(name) {
            return Err(CommandError::err(format!("max-subscriptions-per-client ({most}) of this client are there")));
        }
        let mailbox = Arc::clone(&subscriptions.mailbox);
        if let Some(name) = subscriptions.add(kind, name) {
            self.server.pubsub.subscribe(kind, name, &mailbox);
        }
        if self.server.acl.generation() != self.state.generation && self.state.has_lost_rights(&self.server.acl) {
            // The rights were cut since the gate, and who cut them did not find this subscription.
            self.state.closing = true;
        }
        let Some(subscriptions) = &self.state.subscriptions else { return Ok(0) };
        let count = subscriptions.counted(kind);
        self.note_subscriptions();
        Ok(count)
    }

    fn unsubscribe(&mut self, kind: Subscription, name: &Bytes) -> usize {
        let Some(subscriptions) = &mut self.state.subscriptions else { return 0 };
        if subscriptions.remove(kind, name) {
            self.server.pubsub.unsubscribe(kind, name, self.client.id);
            self.state.messages_first = true;
        }
        let count = subscriptions.counted(kind);
        self.note_subscriptions();
        count
    }

    fn subscriptions(&self, kind: Subscription) -> (Vec<Bytes>, usize) {
        let Some(subscriptions) = &self.state.subscriptions else { return (Vec::new(), 0) };
        (subscriptions.names(kind).iter().cloned().collect(), subscriptions.counted(kind))
    }

    fn publish(&mut self, shard: bool, channel: &[u8], message: &[u8]) -> usize {
        let limit = &self.settings.client_output_buffer_limit.pubsub;
        self.server.publish_of_client(shard, channel, &[message], limit, &mut self.state.filled).into_iter().sum()
    }

    fn channels(&self, shard: bool, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let mut found = self.server.pubsub.channels(shard, pattern);
        found.retain(|name| self.state.user.may_hear(name, false));
        found
    }

    fn receivers(&self, shard: bool, channel: &[u8]) -> usize {
        if !self.state.user.may_hear(channel, false) {
            return 0;
        }
        self.server.pubsub.receivers(shard, channel)
    }

    fn patterns(&self) -> usize {
        self.server.pubsub.patterns()
    }

    fn begin(&mut self) -> bool {
        if self.state.multi.is_some() {
            return false;
        }
        self.state.multi = Some(Multi::default());
        self.note_transaction();
        true
    }

    fn discard(&mut self) -> bool {
        let begun = self.state.multi.take().is_some();
        if begun {
            self.state.watched = Watched::default();
            self.note_transaction();
        }
        begun
    }

    fn watch(&mut self, names: &[Bytes]) -> Result<(), CommandError> {
        if self.state.multi.is_some() {
            return Err(CommandError::err("WATCH inside MULTI is not allowed"));
        }
        let most = self.settings.max_watched_per_client;
        let all = self.state.watched.add(self.server, self.state.db, names, most);
        self.note_transaction();
        if !all? {
            return Err(CommandError::err(format!("max-watched-per-client ({most}) of this client are there")));
        }
        Ok(())
    }

    fn unwatch(&mut self) {
        self.state.watched = Watched::default();
        self.note_transaction();
    }

    fn reset(&mut self) {
        self.server.monitors.leave(self.client.id);
        self.client.monitors.store(false, Relaxed);
        if let Some(subscriptions) = self.state.subscriptions.take() {
            self.server.pubsub.leave(&subscriptions);
        }
        // What it published is still on its way.
        let filled = std::mem::take(&mut self.state.filled);
        *self.state = State { filled, ..State::new(&self.server.acl) };
        *self.client.user.lock() = self.state.user.name().clone();
        *self.client.token.lock() = None;
        self.note_subscriptions();
        self.note_transaction();
        self.client.db.store(0, Relaxed);
        self.client.protocol.store(2, Relaxed);
        self.client.no_evict.store(false, Relaxed);
        self.client.no_touch.store(false, Relaxed);
        self.client.texts.lock().name.clear();
    }

    fn close(&mut self) {
        self.state.closing = true;
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn config_get(&self, pattern: &[u8]) -> Vec<(String, String)> {
        self.server.settings().get(pattern)
    }

    fn config_set(&mut self, changes: &[(Bytes, Bytes)]) -> Result<(), CommandError> {
        self.server.settings().set(changes, |before, after, names| self.server.apply(before, after, names))?;
        for (name, _) in changes {
            tracing::info!(setting = %String::from_utf8_lossy(name), "setting changed");
        }
        Ok(())
    }

    fn config_rewrite(&mut self) -> Result<(), CommandError> {
        let Some(file) = self.server.config.file() else {
            return Err(CommandError::err("The server is running without a config file"));
        };
        // Waits for the disk, so the worker hands its other connections on meanwhile.
        let accounts = self.server.acl.load();
        tokio::task::block_in_place(|| rewrite::rewrite(file, &self.server.settings().load(), &accounts))
            .map_err(|error| CommandError::err(format!("Rewriting config file: {error}")))
    }

    fn position(&self) -> (u64, u64) {
        let stats = self.server.stats();
        (stats.lsn_written, stats.checkpointed_ms / 1000)
    }

    fn reset_statistics(&mut self) {
        self.server.metrics.reset();
        self.server.replication.reset_statistics();
        *self.server.metrics.keys_before.lock() = KeyCounts::of(&self.server.stats());
    }

    fn info(&self, section: InfoSection) -> Vec<(String, String)> {
        crate::info::fields(self.server, section)
    }

    fn shutdown(&mut self, mode: Shutdown) {
        tracing::info!(client = self.client.id, "SHUTDOWN requested");
        // Redis answers nothing: the client sees the connection end.
        self.state.replies_off = true;
        self.server.stop(mode);
    }
    fn is_in_exec(&self) -> bool {
        self.state.in_exec
    }

    fn monitor(&mut self) {
        let mailbox = Arc::clone(&self.state.listening(self.client).mailbox);
        self.state.monitors = true;
        self.client.monitors.store(true, Relaxed);
        self.server.monitors.join(&mailbox);
    }

    fn wait(&mut self, wait: Wait) {
        self.state.wait = Some(wait);
    }

    fn changes(&mut self, changes: Box<Changes>) {
        self.state.changes = Some(changes);
    }

    fn unblock(&mut self, id: u64, how: Unblock) -> bool {
        self.server.clients.get(id).is_some_and(|client| client.unblock(how))
    }

    fn pause(&mut self, what: Paused, time: Duration) {
        self.server.pause.begin(what, time);
    }

    fn unpause(&mut self) {
        self.server.pause.end();
    }

    fn slow_commands(&self, most: usize) -> Vec<SlowCommand> {
        self.server.slowlog.latest(most)
    }

    fn slow_commands_len(&self) -> usize {
        self.server.slowlog.len()
    }

    fn forget_slow_commands(&mut self) {
        self.server.slowlog.truncate(0);
    }

    fn latency_events(&self) -> Vec<LatencyEvent> {
        self.server.latency.events()
    }

    fn forget_latency_events(&mut self, event: Option<&[u8]>) -> usize {
        self.server.latency.forget(event)
    }

    fn latencies(&self, index: usize) -> Option<Latencies> {
        self.server.metrics.latencies(index)
    }

    fn memory(&self) -> Memory {
        crate::memory::figures(self.server)
    }

    fn purge_memory(&mut self) {
        let settings = self.settings;
        // May take as long as there are pages to drop.
        tokio::task::block_in_place(|| {
            if let Some(store) = self.server.store_now() {
                store.set_memory_budgets(settings.maxmemory_index, settings.maxmemory_cache);
            }
        });
    }

    fn role(&self) -> Role {
        self.server.role()
    }

    fn replicas(&self) -> Vec<ReplicaInfo> {
        self.server.replicas()
    }

    fn follow(&mut self, host: &str, port: u16, force: bool) -> Result<bool, CommandError> {
        let primary = Primary { host: host.to_owned(), port };
        // A store that is being put in place is waited for.
        tokio::task::block_in_place(|| self.server.follow(primary, force))
    }

    fn follow_nobody(&mut self) -> Result<(), CommandError> {
        tokio::task::block_in_place(|| self.server.follow_nobody())
    }

    fn feed(&mut self, request: FollowRequest) -> Result<(), CommandError> {
        // All data would go in the clear to whoever knows a password, and nobody would have been verified.
        if self.settings.tls.replication && !self.through_tls {
            return Err(CommandError::err("tls-replication is on here, so replicas follow through tls-port"));
        }
        tokio::task::block_in_place(|| self.server.admit_replica(&request))?;
        self.state.follower = Some(request);
        Ok(())
    }

    fn order(&mut self, id: Option<u64>, order: Order) -> usize {
        self.server.replication.feeds.order(id, order)
    }

    fn recruit(&mut self, host: &str, port: u16) -> Result<(), CommandError> {
        let asked = recruit::recruit(self.server, host, port);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asked))
    }

    fn digest(&mut self) -> Result<String, CommandError> {
        let store = self.server.loaded()?;
        let (_, hash) = tokio::task::block_in_place(|| store.content_hash())?;
        Ok(hex::encode(hash))
    }

    fn failover(&mut self, request: FailoverRequest) -> Result<(), CommandError> {
        failover::begin(self.server, request)
    }

    fn abort_failover(&mut self) -> Result<(), CommandError> {
        failover::abort(self.server)
    }
}
