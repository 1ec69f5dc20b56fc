//! Sessions of the console: each is a connection of a client like any other, whose other end is held here.
//!
//! Owns who is in by which cookie, for how long, and how a command and its reply get over the connection. What the user may do, what is
//! limited and what is audited is decided where it is for all clients. A session ends with its connection: when its token was revoked or
//! has expired, its user was taken away, or CLIENT KILL was sent.
//!
//! Invariant: a command is sent when the reply to the one before it was read whole, so no reply is taken for another's.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use redis_protocol::resp3::decode::complete::decode_bytes;
use redis_protocol::resp3::types::BytesFrame;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::extent::Extent;
use crate::client::Client;
use crate::connection::Connection;
use crate::listener::is_loopback;
use crate::server::Server;
use crate::stream::Stream;

/// Bytes of a reply that are shown.
const REPLY_BYTES: usize = 4 << 20;
/// How long a command may take. The connection is closed then: its reply may still come.
const RUN_MAX: Duration = Duration::from_secs(60);
/// Commands of one session that wait for their turn, the one at hand among them.
const RUNS_MAX: usize = 16;
/// Bytes of a cookie's secret.
const SECRET_BYTES: usize = 32;

/// Commands that the console does not send: those that change what the connection speaks or who it is, those that answer again and again,
/// and those that hold up all that comes after them.
const REFUSED: &[&str] = &[
    "auth",
    "client|reply",
    "client|tracking",
    "discard",
    "doc.changes",
    "exec",
    "hello",
    "monitor",
    "multi",
    "psubscribe",
    "psync",
    "punsubscribe",
    "quit",
    "replconf",
    "replica.sync",
    "reset",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "sync",
    "unsubscribe",
    "unwatch",
    "wait",
    "waitaof",
    "watch",
];

/// Why a command is not sent, if it is one of those.
pub(super) fn refusal(words: &[Bytes]) -> Option<String> {
    let lower = |word: &Bytes| String::from_utf8_lossy(word).to_ascii_lowercase();
    let Some(first) = words.first().map(lower) else { return Some("ERR there is no command".to_owned()) };
    let with_sub = words.get(1).map(|second| format!("{first}|{}", lower(second)));
    let named = |name: &&&str| **name == first || Some(**name) == with_sub.as_deref();
    REFUSED.iter().find(named).map(|name| format!("ERR '{name}' is not for the console"))
}

/// Everyone who is in, by the hash of the cookie: how long it takes to find one tells nothing of another.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<Key, Arc<Session>>>,
}

type Key = [u8; 32];

/// One that is in.
#[derive(Debug)]
pub(super) struct Session {
    key: Key,
    client: Arc<Client>,
    server: Arc<Server>,
    used: Mutex<Instant>,
    waiting: Arc<Semaphore>,
    link: tokio::sync::Mutex<Link>,
}

/// Why nobody got in.
#[derive(Debug)]
pub(super) enum Refused {
    /// What the server answered.
    Command(String),
    /// There is no password, and the browser is not on this machine.
    Protected,
    /// There are too many already: of sessions, of clients, or of attempts.
    Full(String),
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(BytesFrame),
    TooLong {
        max: usize,
    },
    /// The reply came, and is nothing that can be shown.
    Odd,
    /// Too many wait already.
    Busy,
    /// The connection has ended.
    Gone,
}

impl Sessions {
    /// The session of a cookie.
    pub(super) fn find(&self, cookie: &str) -> Option<Arc<Session>> {
        self.all.lock().get(&key(cookie)).cloned()
    }

    /// Ends a session; its connection ends when a command that runs is done.
    pub(super) fn close(&self, session: &Session) {
        self.all.lock().remove(&session.key);
        session.client.kill();
    }

    /// Adds one, unless there are `max` whose connections are there.
    fn add(&self, session: &Arc<Session>, max: usize) -> bool {
        let mut all = self.all.lock();
        all.retain(|_, other| !other.is_over());
        let has_room = all.len() < max;
        if has_room {
            all.insert(session.key, Arc::clone(session));
        }
        has_room
    }
}

impl Session {
    /// The name of its user.
    pub(super) fn user(&self) -> String {
        String::from_utf8_lossy(&self.client.user.lock()).into_owned()
    }

    /// Its connection, as CLIENT LIST has it.
    pub(super) fn client_id(&self) -> u64 {
        self.client.id
    }

    /// Whether its connection has ended, or is about to.
    pub(super) fn is_over(&self) -> bool {
        self.client.is_killed() || self.server.clients.get(self.client.id).is_none()
    }

    /// Whether its user was disabled. Other connections stay then, as in Redis.
    pub(super) fn is_barred(&self) -> bool {
        !self.server.acl.load().get(&self.client.user.lock()).is_some_and(|user| user.is_enabled())
    }
}

fn key(cookie: &str) -> Key {
    Sha256::digest(cookie.as_bytes()).into()
}

/// Lets a user in by its password or token; the cookie by which it is known from then on.
pub(super) async fn open(
    server: &Arc<Server>,
    peer: SocketAddr,
    local: SocketAddr,
    user: Bytes,
    password: Bytes,
) -> Result<(Arc<Session>, String), Refused> {
    let settings = server.config.load();
    server.metrics.connections_received.fetch_add(1, Relaxed);
    let rejected = |why| {
        server.metrics.connections_rejected.fetch_add(1, Relaxed);
        why
    };
    if settings.protected_mode && server.acl.is_open() && !is_loopback(peer.ip()) {
        return Err(rejected(Refused::Protected));
    }
    server.limits.connect(peer.ip()).map_err(|error| rejected(Refused::Full(error.to_string())))?;
    let failed = |error: io::Error| Refused::Full(format!("there can be no session: {error}"));
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let (near, far) = UnixStream::pair().map_err(failed)?;
    let client = server.clients.add(peer, local, far.as_raw_fd(), settings.maxclients);
    let client = client.ok_or_else(|| rejected(Refused::Full("ERR max number of clients reached".to_owned())))?;
    tokio::spawn(Connection::new(Arc::clone(server), Arc::clone(&client), Stream::Local(far)).run());
    let cookie = hex::encode(secret);
    let session = Arc::new(Session {
        key: key(&cookie),
        client,
        server: Arc::clone(server),
        used: Mutex::new(Instant::now()),
        waiting: Arc::new(Semaphore::new(RUNS_MAX)),
        link: tokio::sync::Mutex::new(Link { half: near, input: BytesMut::new() }),
    });
    let word = Bytes::from_static;
    let hello = [word(b"HELLO"), word(b"3"), word(b"AUTH"), user, password, word(b"SETNAME"), word(b"console")];
    match run(&session, hello.to_vec(), None).await {
        Answer::Reply(BytesFrame::Map { .. }) => {}
        Answer::Reply(BytesFrame::SimpleError { data, .. }) => return Err(Refused::Command(data.to_string())),
        other => {
            tracing::debug!(?other, "the console's greeting");
            return Err(Refused::Command("ERR the connection was closed".to_owned()));
        }
    }
    if !server.console.add(&session, settings.console.sessions_max) {
        return Err(Refused::Full("there are http-sessions-max sessions already".to_owned()));
    }
    tokio::spawn(end_when_idle(Arc::downgrade(&session)));
    Ok((session, cookie))
}

/// Ends a session that nobody uses for `http-session-timeout`, or with the console.
async fn end_when_idle(session: std::sync::Weak<Session>) {
    loop {
        let Some(session) = session.upgrade().filter(|session| !session.is_over()) else { return };
        let console = session.server.config.load().console.clone();
        let (timeout, idle) = (Duration::from_secs(console.session_timeout_s), session.used.lock().elapsed());
        if !console.is_on {
            session.server.console.close(&session);
            return;
        }
        if idle >= timeout && session.waiting.available_permits() == RUNS_MAX {
            session.server.console.close(&session);
            return;
        }
        drop(session);
        // The setting may be made shorter, and a session that ended need not be kept.
        tokio::time::sleep(timeout.saturating_sub(idle).clamp(Duration::from_millis(100), Duration::from_secs(1)))
            .await;
    }
}

/// Runs a command, in a database if one is named, and reads its reply. It is done to its end also where the browser does not wait for that.
pub(super) async fn run(session: &Arc<Session>, words: Vec<Bytes>, db: Option<u8>) -> Answer {
    let Ok(turn) = Arc::clone(&session.waiting).try_acquire_owned() else { return Answer::Busy };
    let session = Arc::clone(session);
    let running = tokio::spawn(async move {
        let mut link = session.link.lock().await;
        if session.is_over() {
            // The one before it took too long: its reply may come yet.
            return Answer::Gone;
        }
        *session.used.lock() = Instant::now();
        // A user may be allowed all that it needs here but SELECT, so that is sent only where it has to be.
        let elsewhere = db.filter(|db| *db != session.client.db.load(Relaxed));
        let answer = match tokio::time::timeout(RUN_MAX, link.run_in(elsewhere, &words)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(client = session.client.id, %error, "a session of the console has ended");
                session.client.kill();
                Answer::Gone
            }
            Err(_) => {
                tracing::debug!(client = session.client.id, "closed: a command of the console took too long");
                session.client.kill();
                Answer::Gone
            }
        };
        *session.used.lock() = Instant::now();
        drop(turn);
        answer
    });
    running.await.unwrap_or(Answer::Gone)
}

/// This end of the connection.
#[derive(Debug)]
struct Link {
    half: UnixStream,
    input: BytesMut,
}

impl Link {
    async fn run_in(&mut self, db: Option<u8>, words: &[Bytes]) -> io::Result<Answer> {
        if let Some(db) = db {
            let selected = self.run(&[Bytes::from_static(b"SELECT"), Bytes::from(db.to_string())]).await?;
            if !matches!(selected, Answer::Reply(BytesFrame::SimpleString { .. })) {
                return Ok(selected);
            }
        }
        self.run(words).await
    }

    async fn run(&mut self, words: &[Bytes]) -> io::Result<Answer> {
        self.half.write_all(&request(words)).await?;
        loop {
            let answer = self.read().await?;
            // What the server says unasked is nobody's reply.
            if !matches!(answer, Answer::Reply(BytesFrame::Push { .. })) {
                return Ok(answer);
            }
        }
    }

    async fn read(&mut self) -> io::Result<Answer> {
        let (mut extent, mut is_too_long) = (Extent::new(), false);
        loop {
            let end = extent.end(&self.input)?;
            if let Some(end) = end {
                let reply = self.input.split_to(end).freeze();
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                return Ok(if is_too_long { Answer::TooLong { max: REPLY_BYTES } } else { decoded(&reply) });
            }
            is_too_long |= self.input.len() > REPLY_BYTES;
            if is_too_long {
                let passed = extent.pass(self.input.len());
                self.input.advance(passed);
            }
            if self.half.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A whole reply. Sets of maps, as COMMAND has them, are more than the decoder takes.
fn decoded(reply: &Bytes) -> Answer {
    decode_bytes(reply).ok().flatten().map_or(Answer::Odd, |(frame, _)| Answer::Reply(frame))
}

fn request(words: &[Bytes]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use veddb_commands::lookup::by_name;

    use super::*;

    #[test]
    fn what_is_refused_is_there_in_order() {
        assert!(REFUSED.is_sorted());
        for name in REFUSED {
            assert!(by_name(name.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn what_holds_up_or_changes_the_connection_is_refused() {
        let check = |words: &[&str], refused: bool| {
            let words: Vec<Bytes> = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            assert_eq!(refusal(&words).is_some(), refused, "{words:?}");
        };
        check(&[], true);
        check(&["SUBSCRIBE", "a"], true);
        check(&["Client", "REPLY", "OFF"], true);
        check(&["CLIENT", "LIST"], false);
        check(&["DOC.FIND", "subscribe", "{}"], false);
        check(&["GET", "client|reply"], false);
    }
}
