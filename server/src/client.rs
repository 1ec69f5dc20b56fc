//! What is known of each connection outside its own task: CLIENT LIST reads it, CLIENT KILL writes it.
//!
//! The connection's task is the only writer but for `kill`; figures are atomics so that listing never waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use veddb_commands::lookup;
use veddb_commands::session::{ClientInfo, Unblock};
use veddb_commands::worked::Worked;

use crate::config::Settings;
use crate::execute::now_ms;
use crate::pubsub::mailbox::Mailbox;
use crate::token::Token;

/// One connection as others see it.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are ClientInfo's")]
pub struct Client {
    pub id: u64,
    pub addr: SocketAddr,
    pub laddr: SocketAddr,
    pub fd: i32,
    connected: Instant,
    last_request_ms: AtomicU64,
    pub db: AtomicU8,
    pub protocol: AtomicU8,
    /// The last command's position in the table, plus one; 0 before the first.
    pub command: AtomicUsize,
    pub no_evict: AtomicBool,
    pub no_touch: AtomicBool,
    pub query_buffer: AtomicUsize,
    pub query_buffer_free: AtomicUsize,
    pub argument_memory: AtomicUsize,
    pub reply_buffer: AtomicUsize,
    pub reply_buffer_peak: AtomicUsize,
    pub output_length: AtomicUsize,
    /// Commands queued by MULTI, plus one; 0 outside a transaction.
    pub queued: AtomicUsize,
    pub queued_memory: AtomicUsize,
    pub watched: AtomicUsize,
    pub channels: AtomicUsize,
    pub patterns: AtomicUsize,
    pub shard_channels: AtomicUsize,
    pub texts: Mutex<Texts>,
    /// The name of the user that it is.
    pub user: Mutex<Bytes>,
    /// The token that it got in with, if it was one.
    pub(crate) token: Mutex<Option<Arc<Token>>>,
    pub monitors: AtomicBool,
    /// It is a replica's.
    pub replica: AtomicBool,
    /// It was let in and a command of it was carried out.
    pub greeted: AtomicBool,
    /// It waits for its client: for bytes of it, or for it to take some.
    pub waits: AtomicBool,
    blocking: Mutex<Blocking>,
    unblocked: Notify,
    /// Where messages wait for it, once it listened.
    pub(crate) mailbox: Mutex<Weak<Mailbox>>,
    killed: AtomicBool,
    woken: Notify,
    /// Raised when nobody waits for the answer any more; long reads look at it.
    pub cancelled: AtomicBool,
    /// How its last query came to its answer.
    pub worked: Worked,
}

/// What a client says of itself.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Texts {
    pub name: String,
    pub library_name: String,
    pub library_version: String,
}

/// Whether the answer to a command waits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Blocking {
    #[default]
    No,
    /// For something that nobody can end.
    Held,
    /// For something that CLIENT UNBLOCK can end.
    Waiting,
    /// CLIENT UNBLOCK has ended it.
    Ended(Unblock),
}

impl Client {
    /// Says that the answer waits from now on.
    pub(crate) fn block(&self, unblockable: bool) {
        *self.blocking.lock() = if unblockable { Blocking::Waiting } else { Blocking::Held };
    }

    /// Says that it does not; how it was ended by CLIENT UNBLOCK, if it was.
    pub(crate) fn resume(&self) -> Option<Unblock> {
        match std::mem::take(&mut *self.blocking.lock()) {
            Blocking::Ended(how) => Some(how),
            Blocking::No | Blocking::Held | Blocking::Waiting => None,
        }
    }

    /// Ends what the answer waits for; false where it does not wait, or not for such.
    pub(crate) fn unblock(&self, how: Unblock) -> bool {
        let mut blocking = self.blocking.lock();
        let waits = *blocking == Blocking::Waiting;
        if waits {
            *blocking = Blocking::Ended(how);
            self.unblocked.notify_one();
        }
        waits
    }

    /// Returns once that has happened.
    pub(crate) async fn unblocked(&self) {
        while !matches!(*self.blocking.lock(), Blocking::Ended(_)) {
            self.unblocked.notified().await;
        }
    }

    /// Whether the answer waits.
    pub(crate) fn is_blocked(&self) -> bool {
        *self.blocking.lock() != Blocking::No
    }

    /// Why the connection is to be closed, if its time is up.
    pub(crate) fn overdue(&self, settings: &Settings) -> Option<&'static str> {
        let age = self.connected.elapsed();
        let handshake_s = settings.handshake_timeout_s;
        if handshake_s > 0 && age > Duration::from_secs(handshake_s) && !self.greeted.load(Relaxed) {
            return Some("handshake-timeout");
        }
        if self.token.lock().as_ref().is_some_and(|token| token.expires_ms <= now_ms()) {
            return Some("its token has expired");
        }
        // Who listens need not say anything, and who waits for an answer has nothing to say.
        let listens = self.is_subscriber() || self.monitors.load(Relaxed);
        let is_idle = self.waits.load(Relaxed) && !listens && !self.is_blocked();
        let idle = age.saturating_sub(Duration::from_millis(self.last_request_ms.load(Relaxed)));
        if is_idle && settings.timeout_s > 0 && idle > Duration::from_secs(settings.timeout_s) {
            return Some("timeout");
        }
        let mailbox = self.mailbox.lock().upgrade();
        if mailbox.is_some_and(|mailbox| mailbox.close_if_over(&settings.client_output_buffer_limit.pubsub)) {
            return Some("client-output-buffer-limit");
        }
        None
    }

    /// What messages that wait for it take, bytes.
    pub fn message_memory(&self) -> usize {
        self.mailbox.lock().upgrade().map_or(0, |mailbox| mailbox.bytes())
    }

    /// What was read of it and not yet carried out takes, bytes.
    fn input_buffer(&self) -> usize {
        [&self.query_buffer, &self.query_buffer_free, &self.argument_memory].iter().map(|part| part.load(Relaxed)).sum()
    }

    /// What it has not taken yet, bytes.
    fn output_buffer(&self) -> usize {
        self.output_length.load(Relaxed) + self.message_memory()
    }

    /// Notes that a request arrived, or that a reply was taken.
    pub fn touch(&self) {
        self.last_request_ms.store(self.connected.elapsed().as_millis() as u64, Relaxed);
    }

    /// Asks the connection's task to close it.
    pub fn kill(&self) {
        self.killed.store(true, Relaxed);
        self.cancelled.store(true, Relaxed);
        self.woken.notify_one();
    }

    /// Whether it listens to anything.
    pub fn is_subscriber(&self) -> bool {
        [&self.channels, &self.patterns, &self.shard_channels].iter().any(|count| count.load(Relaxed) > 0)
    }

    /// Whether somebody asked for that.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }

    /// Returns once somebody asked for that.
    pub async fn killed(&self) {
        while !self.is_killed() {
            self.woken.notified().await;
        }
    }

    /// The last command that it asked for.
    pub(crate) fn entry(&self) -> Option<&'static lookup::Entry> {
        self.command.load(Relaxed).checked_sub(1).and_then(|index| lookup::entries().get(index))
    }

    /// The line of CLIENT LIST.
    pub fn info(&self) -> ClientInfo {
        let texts = self.texts.lock();
        let age_ms = self.connected.elapsed().as_millis() as u64;
        let command = self.entry();
        ClientInfo {
            id: self.id,
            addr: self.addr.to_string(),
            laddr: self.laddr.to_string(),
            fd: self.fd,
            name: texts.name.clone(),
            age_s: age_ms / 1000,
            idle_s: age_ms.saturating_sub(self.last_request_ms.load(Relaxed)) / 1000,
            no_evict: self.no_evict.load(Relaxed),
            no_touch: self.no_touch.load(Relaxed),
            db: self.db.load(Relaxed),
            query_buffer: self.query_buffer.load(Relaxed),
            query_buffer_free: self.query_buffer_free.load(Relaxed),
            argument_memory: self.argument_memory.load(Relaxed),
            reply_buffer: self.reply_buffer.load(Relaxed),
            reply_buffer_peak: self.reply_buffer_peak.load(Relaxed),
            output_length: self.output_length.load(Relaxed),
            command: command.map(|entry| entry.name.clone()).unwrap_or_default(),
            user: String::from_utf8_lossy(&self.user.lock()).into_owned(),
            protocol: self.protocol.load(Relaxed),
            message_memory: self.message_memory(),
            messages: self.mailbox.lock().upgrade().map_or(0, |mailbox| mailbox.len()),
            queued: self.queued.load(Relaxed).checked_sub(1),
            queued_memory: self.queued_memory.load(Relaxed),
            watched: self.watched.load(Relaxed),
            channels: self.channels.load(Relaxed),
            patterns: self.patterns.load(Relaxed),
            shard_channels: self.shard_channels.load(Relaxed),
            monitors: self.monitors.load(Relaxed),
            replica: self.replica.load(Relaxed),
            blocked: self.is_blocked(),
            library_name: texts.library_name.clone(),
            library_version: texts.library_version.clone(),
        }
    }
}

/// Every connection, by id.
#[derive(Debug, Default)]
pub struct Clients {
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    /// The largest buffers at each of the last looks.
    buffers: Mutex<VecDeque<Buffers>>,
}

/// The largest buffer of requests and of replies that any connection has, bytes.
type Buffers = (usize, usize);

/// Looks at the buffers, one a second, that count as recent. As many as Redis's.
const RECENT_LOOKS: usize = 8;

impl Clients {
    /// Adds a connection, unless there are `max` already.
    pub fn add(&self, addr: SocketAddr, laddr: SocketAddr, fd: i32, max: usize) -> Option<Arc<Client>> {
        let mut all = self.all.lock();
        if all.len() >= max {
            return None;
        }
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Relaxed) + 1,
            addr,
            laddr,
            fd,
            connected: Instant::now(),
            last_request_ms: AtomicU64::new(0),
            db: AtomicU8::new(0),
            protocol: AtomicU8::new(2),
            command: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            query_buffer: AtomicUsize::new(0),
            query_buffer_free: AtomicUsize::new(0),
            argument_memory: AtomicUsize::new(0),
            reply_buffer: AtomicUsize::new(0),
            reply_buffer_peak: AtomicUsize::new(0),
            output_length: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            queued_memory: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            shard_channels: AtomicUsize::new(0),
            texts: Mutex::default(),
            user: Mutex::new(crate::acl::default_name()),
            token: Mutex::default(),
            monitors: AtomicBool::new(false),
            replica: AtomicBool::new(false),
            greeted: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            blocking: Mutex::default(),
            unblocked: Notify::new(),
            mailbox: Mutex::default(),
            killed: AtomicBool::new(false),
            woken: Notify::new(),
            cancelled: AtomicBool::new(false),
            worked: Worked::default(),
        });
        all.insert(client.id, Arc::clone(&client));
        Some(client)
    }

    /// Takes a closed connection out.
    pub fn remove(&self, id: u64) {
        self.all.lock().remove(&id);
    }

    /// The connection of this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.all.lock().get(&id).cloned()
    }

    /// All of them, by ascending id.
    pub fn list(&self) -> Vec<Arc<Client>> {
        self.all.lock().values().cloned().collect()
    }

    /// The largest buffers of late, and now.
    pub(crate) fn recent_buffers(&self) -> Buffers {
        let now = largest(&self.list());
        self.buffers.lock().iter().fold(now, |most, seen| (most.0.max(seen.0), most.1.max(seen.1)))
    }

    /// Closes those whose time is up, and looks at the buffers. Asked once a second, as Redis does.
    pub(crate) fn sweep(&self, settings: &Settings) {
        let all = self.list();
        let mut buffers = self.buffers.lock();
        buffers.push_back(largest(&all));
        if buffers.len() > RECENT_LOOKS {
            buffers.pop_front();
        }
        drop(buffers);
        for client in all {
            if let Some(why) = client.overdue(settings) {
                tracing::debug!(client = client.id, addr = %client.addr, "closed: {why}");
                client.kill();
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }
}

fn largest(clients: &[Arc<Client>]) -> Buffers {
    let most = |bytes: fn(&Client) -> usize| clients.iter().map(|client| bytes(client)).max().unwrap_or(0);
    (most(Client::input_buffer), most(Client::output_buffer))
}
