//! What all connections share, from the start of the server to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use veddb_commands::queries::Queries;
use veddb_commands::session::Shutdown;
use veddb_storage::Store;

use crate::acl::Acl;
use crate::audit::Auditor;
use crate::changes::Waiters;
use crate::client::Clients;
use crate::config::{Config, OutputLimit, Settings};
use crate::current::Current;
use crate::execute::now_ms;
use crate::http::console::Sessions;
use crate::latency::Latency;
use crate::limits::Limits;
use crate::memory;
use crate::metrics::{Metrics, per_second};
use crate::monitor::Monitors;
use crate::notify::Notes;
use crate::pause::Pause;
use crate::pubsub::PubSub;
use crate::pubsub::mailbox::Filled;
use crate::replication::Replication;
use crate::slowlog::Slowlog;
use crate::telemetry::{LevelHandle, RequestId};
use crate::tls::Tls;
use crate::token::Tokens;
use crate::traces::Traces;

/// Groups of writes that may wait for the committer. Each connection has at most one there, so this bounds memory, and
/// a connection that finds no slot waits without holding a worker.
pub const COMMIT_QUEUE: usize = 1024;

/// How long connections have for their end when they are closed with the server.
const FAREWELL: Duration = Duration::from_millis(500);

/// The running server.
#[derive(Debug)]
pub struct Server {
    /// The settings.
    pub config: Config,
    /// The data; another store takes its place when a snapshot of a primary was read.
    pub(crate) current: Current,
    /// The counters.
    pub metrics: Metrics,
    /// Users and roles.
    pub acl: Acl,
    /// The connections.
    pub clients: Clients,
    /// Who listens to what.
    pub(crate) pubsub: PubSub,
    /// Whom it follows, and who follows it.
    pub(crate) replication: Replication,
    /// Where what the units of a store note is sent.
    pub(crate) notes: Notes,
    /// Who waits for changes.
    pub(crate) changes: Waiters,
    /// Who hears of every command.
    pub(crate) monitors: Monitors,
    /// Commands that took long.
    pub(crate) slowlog: Slowlog,
    /// Where the spans of requests go.
    pub traces: Traces,
    /// Events that took long.
    pub(crate) latency: Latency,
    /// Whether commands are held back.
    pub(crate) pause: Pause,
    /// What memory the server itself took when it began, bytes.
    pub(crate) startup_memory: Option<u64>,
    /// What is done that is audited.
    pub(crate) audit: Auditor,
    /// What each address and user may ask for in a second.
    pub(crate) limits: Limits,
    /// How connections to `tls-port` are sealed.
    pub tls: Tls,
    /// What all queries share.
    pub queries: Queries,
    /// Who is in by the console.
    pub(crate) console: Sessions,
    /// A permit for each group of writes on its way to the committer.
    pub commit_slots: Arc<Semaphore>,
    /// A permit for each long read that runs; the others wait in their connections.
    pub read_slots: Arc<Semaphore>,
    /// Long reads that wait for such a permit.
    pub(crate) reads_waiting: AtomicUsize,
    /// When it started.
    pub started: Instant,
    /// The same, milliseconds since 1970, as the clock was then.
    pub(crate) started_ms: u64,
    /// 40 random hexadecimal digits, others at each start.
    pub run_id: String,
    /// The port it listens on.
    pub port: u16,
    /// It takes more than `maxmemory`.
    out_of_memory: AtomicBool,
    /// The most that it took at any look, bytes.
    memory_peak: AtomicU64,
    log_level: LevelHandle,
    stopping: watch::Sender<Option<Shutdown>>,
}

impl Server {
    /// A server on this store that listens on `port`; within the runtime that it is to run on.
    ///
    /// # Errors
    /// What of the settings `trace-*` cannot be used.
    pub fn new(
        config: Config,
        acl: Acl,
        store: Arc<Store>,
        tls: Tls,
        log_level: LevelHandle,
        port: u16,
    ) -> Result<Arc<Server>, String> {
        let (read_slots, query_limits) = (config.load().io_threads, config.load().query_limits);
        let mut random = [0; 20];
        // Only tells two starts apart, so a system without randomness may still start.
        if getrandom::fill(&mut random).is_err() {
            random.fill(0);
        }
        let latency = Latency::default();
        latency.set_threshold_ms(config.load().latency_monitor_threshold_ms);
        let limits = Limits::default();
        limits.set(&crate::limits::Settings::default(), &config.load().rates);
        let run_id = hex::encode(random);
        let traces = Traces::start(&config.load().traces, &run_id)?;
        Ok(Arc::new(Server {
            config,
            current: Current::new(store),
            metrics: Metrics::default(),
            acl,
            clients: Clients::default(),
            pubsub: PubSub::default(),
            replication: Replication::default(),
            notes: Notes::default(),
            changes: Waiters::default(),
            monitors: Monitors::default(),
            slowlog: Slowlog::default(),
            traces,
            latency,
            pause: Pause::default(),
            startup_memory: crate::memory::total(),
            audit: Auditor::default(),
            limits,
            tls,
            queries: Queries::new(query_limits),
            console: Sessions::default(),
            commit_slots: Arc::new(Semaphore::new(COMMIT_QUEUE)),
            read_slots: Arc::new(Semaphore::new(read_slots)),
            reads_waiting: AtomicUsize::new(0),
            started: Instant::now(),
            started_ms: now_ms(),
            run_id,
            port,
            out_of_memory: AtomicBool::new(false),
            memory_peak: AtomicU64::new(0),
            log_level,
            stopping: watch::Sender::new(None),
        }))
    }

    /// The settings as they are to be shown: what commands change beside CONFIG SET is in them.
    pub(crate) fn settings(&self) -> &Config {
        if let Some(store) = self.store_now() {
            self.config.follow_master_key(&store.data_keys().source());
        }
        &self.config
    }

    /// Hands messages to everyone who listens, here and on replicas; how many deliveries there are here of each.
    pub(crate) fn publish(
        &self,
        shard: bool,
        channel: &[u8],
        messages: &[&[u8]],
        limit: &OutputLimit,
        filled: &mut Filled,
    ) -> Vec<usize> {
        self.replication.feeds.publish(shard, channel, messages);
        self.publish_here(shard, channel, messages, limit, filled)
    }

    /// The same of messages of a client: as in Redis, a replica's own replicas get only what its primary sends.
    pub(crate) fn publish_of_client(
        &self,
        shard: bool,
        channel: &[u8],
        messages: &[&[u8]],
        limit: &OutputLimit,
        filled: &mut Filled,
    ) -> Vec<usize> {
        if self.replication.is_replica() {
            return self.publish_here(shard, channel, messages, limit, filled);
        }
        self.publish(shard, channel, messages, limit, filled)
    }

    fn publish_here(
        &self,
        shard: bool,
        channel: &[u8],
        messages: &[&[u8]],
        limit: &OutputLimit,
        filled: &mut Filled,
    ) -> Vec<usize> {
        let counts = self.pubsub.publish(shard, channel, messages, limit, filled);
        self.metrics.messages_published.fetch_add(counts.len() as u64, Relaxed);
        self.metrics.messages_delivered.fetch_add(counts.iter().sum::<usize>() as u64, Relaxed);
        counts
    }

    /// Begins to stop. The first caller says how.
    pub fn stop(&self, how: Shutdown) {
        self.stopping.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert(how);
            first
        });
    }

    /// Says when stopping begins.
    pub fn watch_stop(&self) -> watch::Receiver<Option<Shutdown>> {
        self.stopping.subscribe()
    }

    /// Carries changed settings into effect: all of them, or none where one cannot be.
    pub(crate) fn apply(&self, before: &Settings, after: &Settings, names: &[&'static str]) -> Result<(), String> {
        let are_named = |first: &str| names.iter().any(|name| name.starts_with(first));
        // What can be refused is read first, and takes the place of what was there when all of it is good.
        let tls = are_named("tls-").then(|| Tls::read(&after.tls)).transpose()?;
        let foreign = are_named("token-").then(|| Tokens::read_foreign(&after.tokens)).transpose()?;
        if before.loglevel != after.loglevel {
            self.log_level.set(after.loglevel)?;
        }
        if let Some(tls) = tls {
            self.tls.put(tls);
        }
        if let Some(foreign) = foreign {
            self.acl.tokens.put_foreign(foreign);
            crate::token::enforce(self, None);
        }
        // Where there is none now, the next one is opened as the settings are then.
        let store = self.store_now();
        let store = store.as_ref();
        if let Some(store) = store.filter(|_| before.appendfsync != after.appendfsync) {
            store.set_fsync_policy(after.appendfsync);
        }
        if let Some(store) = store.filter(|_| before.changes_log_size != after.changes_log_size) {
            store.set_log_kept_bytes(after.changes_log_size);
        }
        if let Some(store) = store.filter(|_| before.ttl_sweep_s != after.ttl_sweep_s) {
            store.set_ttl_sweep_ms(after.ttl_sweep_s * 1000);
        }
        let notes = |s: &Settings| (s.notify_keyspace_events.is_on(), s.notify_doc_events);
        if let Some(store) = store.filter(|_| notes(before) != notes(after)) {
            let (keys, documents) = notes(after);
            store.want_notes(keys, documents);
        }
        self.limits.set(&before.rates, &after.rates);
        if names.contains(&"requirepass") {
            self.acl.set_default_password(self, &after.requirepass.0);
        }
        self.latency.set_threshold_ms(after.latency_monitor_threshold_ms);
        self.slowlog.truncate(after.slowlog_max_len);
        if before.maxmemory != after.maxmemory {
            self.look_at_memory(after.maxmemory);
        }
        if before.query_limits != after.query_limits {
            self.queries.set_limits(after.query_limits);
        }
        let budgets = |s: &Settings| (s.maxmemory_index, s.maxmemory_cache);
        if let Some(store) = store.filter(|_| budgets(before) != budgets(after)) {
            store.set_memory_budgets(after.maxmemory_index, after.maxmemory_cache);
        }
        Ok(())
    }

    /// What memory the server itself takes, bytes; a look at it may find a new peak.
    pub(crate) fn memory(&self) -> Option<u64> {
        let bytes = memory::total()?;
        self.memory_peak.fetch_max(bytes, Relaxed);
        Some(bytes)
    }

    /// The most that it took whenever that was looked at, which is once a second at least.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Relaxed)
    }

    /// Looks whether the server takes more memory than it may; 0 is no bound.
    fn look_at_memory(&self, maxmemory: usize) {
        let over = self.memory().is_some_and(|bytes| maxmemory > 0 && bytes > maxmemory as u64);
        if over != self.out_of_memory.swap(over, Relaxed) && over {
            tracing::warn!(maxmemory, "the server takes more memory than maxmemory; what takes more is refused");
        }
    }

    /// Names a request that came then, in this server's log and in SLOWLOG: the connection, and the nanoseconds since the start.
    pub(crate) fn request_id(&self, client: u64, came: Instant) -> RequestId {
        RequestId { client, came: came.saturating_duration_since(self.started) }
    }

    /// Whether it did, a second ago at most.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.out_of_memory.load(Relaxed)
    }

    /// Returns when every connection has ended, or the time is up; then the rest are cut off.
    pub async fn drain(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.clients.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for client in self.clients.list() {
            client.kill();
        }
        // They have something to say to the audit log yet.
        let deadline = Instant::now() + FAREWELL;
        while self.clients.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Counts commands a second, and closes cursors and connections whose time is up. Runs until the server stops.
    pub async fn sample(self: Arc<Server>) {
        let mut stopping = self.watch_stop();
        let metrics = &self.metrics;
        let rates = [
            (&metrics.commands_processed, &metrics.ops_per_second),
            (&metrics.net_input_bytes, &metrics.input_per_second),
            (&metrics.net_output_bytes, &metrics.output_per_second),
        ];
        let mut before = rates.map(|(total, _)| total.load(Relaxed));
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = stopping.changed() => return,
            }
            self.queries.sweep(Instant::now());
            self.limits.sweep();
            self.acl.passwords.sweep();
            let settings = self.config.load();
            self.clients.sweep(&settings);
            self.look_at_memory(settings.maxmemory);
            // On a busy machine more than a second may have passed.
            let time = std::mem::replace(&mut looked, Instant::now()).elapsed();
            for ((total, rate), before) in rates.iter().zip(&mut before) {
                let now = total.load(Relaxed);
                // The counters go back to 0 at CONFIG RESETSTAT.
                rate.store(per_second(now.saturating_sub(*before), time), Relaxed);
                *before = now;
            }
        }
    }
}
