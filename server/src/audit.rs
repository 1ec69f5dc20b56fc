//! What is written into the audit log, and the thread that writes it.
//!
//! Owns which commands are audited (`audit-events`) and what a record of one says: who, from where, what, on which names, how it
//! ended. Never an argument that may be a secret or a document: names only. Records go through a bounded queue; how they lie on
//! the disk is the store's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use veddb_commands::access::keys::{has_keys, keys};
use veddb_commands::context::Limits;
use veddb_commands::lookup::Entry;
use veddb_commands::spec::Run;
use veddb_commands::{Args, CommandError, ErrorCode};

use crate::client::Client;
use crate::config::{self, table::Setting};
use crate::execute::now_ms;
use crate::server::Server;

/// A kind of event, by the word in `audit-events` and in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// AUTH, HELLO .. AUTH.
    Auth,
    /// Whatever was refused for want of a right or of a password.
    Denied,
    /// ACL.*, where it changes something.
    Acl,
    /// KEY.*, where it changes something.
    Key,
    /// TOKEN.*, where it changes something.
    Token,
    /// CONFIG SET and REWRITE, SHUTDOWN, DEBUG, CLIENT KILL and other commands of administrators.
    Config,
    /// Collections and indexes made, renamed and dropped; FLUSHDB and FLUSHALL.
    Ddl,
    /// REPLICAOF, FAILOVER, REPLICA.*.
    Replication,
    /// Commands that read data.
    Read,
    /// Commands that write data.
    Write,
}

/// Their words, in the order in which CONFIG GET shows them.
const EVENTS: [(&str, Event); 10] = [
    ("auth", Event::Auth),
    ("denied", Event::Denied),
    ("acl", Event::Acl),
    ("key", Event::Key),
    ("token", Event::Token),
    ("config", Event::Config),
    ("ddl", Event::Ddl),
    ("replication", Event::Replication),
    ("read", Event::Read),
    ("write", Event::Write),
];

/// The kinds of events that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events(u16);

impl Events {
    /// Reads words with spaces between them; nothing turns auditing off.
    ///
    /// # Errors
    /// A word that is none of them.
    pub fn read(text: &str) -> Result<Events, String> {
        text.split_ascii_whitespace().try_fold(Events(0), |events, word| {
            let found = EVENTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
            let (_, event) = found.ok_or_else(|| {
                let all: Vec<_> = EVENTS.iter().map(|(word, _)| *word).collect();
                format!("argument(s) must be among the following: {}", all.join(", "))
            })?;
            Ok(Events(events.0 | 1 << *event as u16))
        })
    }

    fn has(self, event: Event) -> bool {
        self.0 & 1 << event as u16 != 0
    }
}

impl Default for Events {
    /// All but reads and writes.
    fn default() -> Events {
        let all = EVENTS.iter().filter(|(_, event)| !matches!(event, Event::Read | Event::Write));
        Events(all.fold(0, |bits, (_, event)| bits | 1 << *event as u16))
    }
}

impl std::fmt::Display for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = EVENTS.iter().filter(|(_, event)| self.has(*event)).map(|(word, _)| *word).collect();
        f.write_str(&words.join(" "))
    }
}

/// The settings `audit-*`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub events: Events,
    /// Whether what would be audited is refused while the log cannot be written.
    pub refuse_on_failure: bool,
    pub file_bytes: u64,
    pub files_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { events: Events::default(), refuse_on_failure: false, file_bytes: 16 << 20, files_max: 0 }
    }
}

/// Commands that show data, or what there is, without naming any.
const LISTING: [&str; 5] = ["doc.collections", "doc.cursor|read", "keys", "randomkey", "scan"];

/// Records that wait for the thread.
pub(crate) const QUEUE: usize = 4096;
/// What one append writes at most.
const BATCH: usize = 1024;
/// How long a connection waits for a place in the queue. It has a thread of the runtime meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the thread waits after a failure before it tries again.
const RETRY: Duration = Duration::from_millis(500);
/// Names that one record shows, and bytes of each.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 256;

/// A record without its position, which the thread gives it.
type Record = serde_json::Map<String, Json>;

/// What the queue carries.
#[derive(Debug)]
enum Item {
    Record(Record),
    /// Tell when all before it is written.
    Flush(SyncSender<()>),
}

/// Takes records for the audit log.
#[derive(Debug)]
pub(crate) struct Auditor {
    queue: SyncSender<Item>,
    /// Records in it, and the one that is being put in.
    waiting: AtomicUsize,
    /// Until the thread takes it.
    receiver: Mutex<Option<Receiver<Item>>>,
    /// The log could not be written, and has not been since.
    failing: AtomicBool,
    /// Records written, and records that nobody will read.
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl Default for Auditor {
    fn default() -> Auditor {
        let (queue, receiver) = sync_channel(QUEUE);
        Auditor {
            queue,
            waiting: AtomicUsize::new(0),
            receiver: Mutex::new(Some(receiver)),
            failing: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }
}

impl Auditor {
    /// Whether the log could not be written the last time.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// Refuses what is to be audited while it cannot be, where that is set. Getting in, and what mends it, is let through.
    pub(crate) fn admit(&self, entry: &Entry, args: &Args, settings: &config::Settings) -> Result<(), CommandError> {
        let mends = |event| matches!(event, Event::Auth | Event::Config);
        let refused = self.is_failing()
            && settings.audit.refuse_on_failure
            && event(entry, args, &settings.limits)
                .is_some_and(|event| settings.audit.events.has(event) && !mends(event));
        if refused {
            let error = "the audit log cannot be written, and audit-on-failure is refuse; see the server's log";
            return Err(CommandError::new(ErrorCode::Misconf, error));
        }
        Ok(())
    }

    /// Notes how a command ended, where that is audited.
    pub(crate) fn note(
        &self,
        settings: &Settings,
        (entry, args): (&Entry, &Args),
        client: &Client,
        limits: &Limits,
        error: Option<ErrorCode>,
    ) {
        let denied = matches!(error, Some(ErrorCode::NoPerm | ErrorCode::NoAuth | ErrorCode::WrongPass));
        let event = match event(entry, args, limits) {
            // Whatever the log was told to leave out, that it was told so is in it.
            Some(event) if settings.events.has(event) || changes_auditing(entry, args) => event,
            _ if denied && settings.events.has(Event::Denied) => Event::Denied,
            _ => return,
        };
        self.push(settings, record(event, &entry.name, client, names(entry, args, limits), error));
    }

    /// Notes whether a connection became the user that its certificate names.
    pub(crate) fn note_certificate(&self, settings: &Settings, client: &Client, name: &Bytes, is_in: bool) {
        if settings.events.has(Event::Auth) {
            let error = (!is_in).then_some(ErrorCode::NoAuth);
            self.push(settings, record(Event::Auth, "tls-auth-clients-user", client, vec![text(name)], error));
        }
    }

    /// How many records wait to be written, of [`QUEUE`].
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    fn send(&self, item: Item) -> Result<(), TrySendError<Item>> {
        // Counted first: the thread may have taken it before this goes on.
        self.waiting.fetch_add(1, Relaxed);
        let sent = self.queue.try_send(item);
        if sent.is_err() {
            self.waiting.fetch_sub(1, Relaxed);
        }
        sent
    }

    /// Waits for a place in the queue; false where there is none in time, or the log cannot be written any more.
    fn push_soon(&self, mut record: Item) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !self.is_failing() {
            match self.send(record) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) => record = back,
                Err(TrySendError::Disconnected(_)) => return false,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn push(&self, settings: &Settings, record: Record) {
        match self.send(Item::Record(record)) {
            Ok(()) => {}
            // The disk is slower than what is audited: who asks waits for it, for a while.
            Err(TrySendError::Full(record)) if settings.refuse_on_failure && !self.is_failing() => {
                let kept = tokio::task::block_in_place(|| self.push_soon(record));
                self.lost.fetch_add(u64::from(!kept), Relaxed);
            }
            Err(_) => {
                self.lost.fetch_add(1, Relaxed);
            }
        }
    }
}

fn record(event: Event, command: &str, client: &Client, names: Vec<String>, error: Option<ErrorCode>) -> Record {
    let mut record = Record::new();
    let mut put = |name: &str, value: Json| {
        record.insert(name.to_owned(), value);
    };
    put("at", json!(now_ms()));
    put("event", json!(EVENTS.iter().find(|(_, known)| *known == event).map_or("", |(word, _)| word)));
    put("command", json!(command));
    put("user", json!(text(&client.user.lock())));
    put("addr", json!(client.addr.to_string()));
    put("client", json!(client.id));
    if let Some(token) = &*client.token.lock() {
        put("token", json!(text(&token.jti)));
    }
    if !names.is_empty() {
        put("names", json!(names));
    }
    put("outcome", json!(error.map_or("ok", |code| code.as_str())));
    record
}

/// Whether a request says what is audited.
fn changes_auditing(entry: &Entry, args: &Args) -> bool {
    let names = |word: &Bytes| word.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"audit-"));
    entry.name == "config|set" && args.from(2).iter().step_by(2).any(names)
}

/// What a command is to the audit log; None: nothing.
fn event(entry: &Entry, args: &Args, limits: &Limits) -> Option<Event> {
    let name = entry.name.as_str();
    let (family, within) = name.split_once(['|', '.']).unwrap_or((name, ""));
    let run = entry.command.run.with(args, limits);
    let (reads, writes) = (matches!(run, Run::Read(_)), matches!(run, Run::Write(_)));
    let changes = !reads && !["list", "status", "help"].contains(&within);
    match family {
        "auth" => Some(Event::Auth),
        "hello" => (2..args.len()).any(|at| args.is(at, "AUTH")).then_some(Event::Auth),
        "acl" if within == "log" => args.is(2, "RESET").then_some(Event::Acl),
        "acl" => ["setuser", "deluser", "setrole", "delrole", "load", "save"].contains(&within).then_some(Event::Acl),
        "key" => changes.then_some(Event::Key),
        "token" => changes.then_some(Event::Token),
        "replicaof" | "slaveof" | "failover" => Some(Event::Replication),
        "replica" => changes.then_some(Event::Replication),
        "flushall" | "flushdb" => Some(Event::Ddl),
        "doc" if ["create", "drop", "rename"].contains(&within) => Some(Event::Ddl),
        "idx" if writes => Some(Event::Ddl),
        "config" => ["set", "rewrite", "resetstat"].contains(&within).then_some(Event::Config),
        "shutdown" | "debug" | "monitor" => Some(Event::Config),
        "client" => ["kill", "pause", "unpause", "unblock"].contains(&within).then_some(Event::Config),
        "slowlog" | "latency" => (within == "reset").then_some(Event::Config),
        _ if writes && has_keys(entry.command) => Some(Event::Write),
        _ if reads && (has_keys(entry.command) || LISTING.contains(&name)) => Some(Event::Read),
        _ => None,
    }
}

/// The collections, keys, users or settings that a request names.
fn names(entry: &Entry, args: &Args, limits: &Limits) -> Vec<String> {
    let at = |at: usize| args.get(at).map(text).into_iter().collect::<Vec<_>>();
    let name = entry.name.as_str();
    let (family, within) = name.split_once('|').unwrap_or((name, ""));
    match (family, within) {
        // The password stands alone, or after the user.
        ("auth", _) => {
            if args.len() > 2 {
                at(1)
            } else {
                vec!["default".to_owned()]
            }
        }
        ("hello", _) => hello_user(args).map(text).into_iter().collect(),
        ("acl", "deluser") => args.from(2).iter().take(NAMES_MAX).map(text).collect(),
        ("acl", _) => at(2),
        // Where a value stands in a name's place it may be a secret.
        ("config", "set") => {
            let settings = args.from(2).iter().step_by(2).filter_map(|name| Setting::find(name));
            settings.take(NAMES_MAX).map(|setting| setting.name.to_owned()).collect()
        }
        ("client", "kill") => args.from(2).iter().take(2).map(text).collect(),
        ("replicaof" | "slaveof", _) => args.from(1).iter().take(2).map(text).collect(),
        ("token.issue", _) => {
            (1..args.len()).step_by(2).find(|word| args.is(*word, "USER")).map_or(Vec::new(), |word| at(word + 1))
        }
        // What is given by mistake may be a whole token.
        ("token.revoke", _) => {
            let shown = args.from(1).iter().filter(|word| !word.starts_with(b"ey"));
            shown.take(2).map(text).collect()
        }
        ("client" | "debug", _) => at(1),
        _ => keys(entry, args, limits).iter().take(NAMES_MAX).map(|used| text(&used.key)).collect(),
    }
}

/// The user that HELLO names, where it is as it should be: a password may stand there else.
fn hello_user(args: &Args) -> Option<&Bytes> {
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "AUTH") {
            return args.get(at + 2).and_then(|_| args.get(at + 1));
        }
        at += 2;
    }
    None
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes)).into_owned()
}

/// Writes from now on what is noted.
///
/// # Errors
/// When there can be no thread for it.
pub fn start(server: &Arc<Server>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let receiver = server.audit.receiver.lock().take();
    let receiver = receiver.ok_or_else(|| std::io::Error::other("it is being audited already"))?;
    let writer = Arc::downgrade(server);
    std::thread::Builder::new().name("veddb-audit".to_owned()).spawn(move || {
        while let Ok(first) = receiver.recv() {
            let Some(server) = writer.upgrade() else { return };
            let (mut batch, mut waiting) = (Vec::new(), Vec::new());
            for item in std::iter::once(first).chain(receiver.try_iter().take(BATCH - 1)) {
                match item {
                    Item::Record(record) => {
                        server.audit.waiting.fetch_sub(1, Relaxed);
                        batch.push(record);
                    }
                    Item::Flush(done) => waiting.push(done),
                }
            }
            if !batch.is_empty() {
                write(&server, batch);
            }
            for done in waiting {
                // Whoever is gone does not wait any more.
                let _ = done.send(());
            }
        }
    })
}

/// Returns when everything noted so far is in the log, or the time is up. Blocks.
pub fn flush(server: &Server, patience: Duration) {
    let (done, written) = sync_channel(1);
    if server.audit.queue.send(Item::Flush(done)).is_ok() && written.recv_timeout(patience).is_err() {
        tracing::warn!("the last records of the audit log could not be written in time");
    }
}

/// Appends a batch, again and again until it is written or nobody minds.
fn write(server: &Server, batch: Vec<Record>) {
    let auditor = &server.audit;
    let count = batch.len() as u64;
    loop {
        let settings = server.config.load();
        let store = server.store();
        let first = store.audit().next_position();
        let texts = batch.iter().zip(first..).map(|(record, position)| {
            let mut whole = Record::new();
            whole.insert("position".to_owned(), position.into());
            whole.extend(record.clone());
            Json::Object(whole).to_string()
        });
        let texts: Vec<String> = texts.collect();
        match store.audit().append(&texts, settings.audit.file_bytes, settings.audit.files_max) {
            Ok(()) => {
                auditor.written.fetch_add(count, Relaxed);
                if auditor.failing.swap(false, Relaxed) {
                    let lost = auditor.lost.load(Relaxed);
                    tracing::warn!(lost, "the audit log can be written again");
                }
                return;
            }
            Err(error) => {
                if !auditor.failing.swap(true, Relaxed) {
                    tracing::error!(%error, "the audit log cannot be written");
                }
                if !settings.audit.refuse_on_failure {
                    auditor.lost.fetch_add(count, Relaxed);
                    return;
                }
                if server.watch_stop().borrow().is_some() {
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_commands::lookup::{Lookup, find};

    fn request(line: &'static str) -> (&'static Entry, Args) {
        let args = Args::new(line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect());
        let Lookup::Found(entry) = find(&args) else { panic!("{line}: no such command") };
        (entry, args)
    }

    #[test]
    fn events_are_read_as_they_are_shown() {
        assert_eq!(Events::default().to_string(), "auth denied acl key token config ddl replication");
        assert_eq!(Events::read("WRITE auth").unwrap().to_string(), "auth write");
        assert_eq!(Events::read("").unwrap().to_string(), "");
        assert!(Events::read("auth everything").is_err());
    }

    #[test]
    fn a_command_is_of_one_kind_and_names_no_secret() {
        let check = |line: &'static str, expected: Option<Event>, named: &[&str]| {
            let (entry, args) = request(line);
            assert_eq!(event(entry, &args, &Limits::default()), expected, "{line}");
            assert_eq!(names(entry, &args, &Limits::default()), named, "{line}");
        };
        check("AUTH secret", Some(Event::Auth), &["default"]);
        check("AUTH ada secret", Some(Event::Auth), &["ada"]);
        check("HELLO 3 AUTH ada secret", Some(Event::Auth), &["ada"]);
        check("HELLO 3 SETNAME auth AUTH ada secret", Some(Event::Auth), &["ada"]);
        check("HELLO 3 AUTH secret", Some(Event::Auth), &[]);
        check("CONFIG SET timeout requirepass secret", Some(Event::Config), &["timeout"]);
        check("CLIENT KILL ID 7", Some(Event::Config), &["ID", "7"]);
        check("DOC.AGGREGATE c []", Some(Event::Read), &["c"]);
        check("SCAN 0", Some(Event::Read), &[]);
        check("HELLO 3", None, &[]);
        check("CONFIG SET requirepass secret timeout 3", Some(Event::Config), &["requirepass", "timeout"]);
        check("CONFIG GET timeout", None, &[]);
        check("KEY.ROTATE", Some(Event::Key), &[]);
        check("TOKEN.ISSUE USER ada CLAIMS {}", Some(Event::Token), &["ada"]);
        check("TOKEN.ISSUE CLAIMS USER {}", Some(Event::Token), &[]);
        check("TOKEN.ISSUE", Some(Event::Token), &[]);
        check("TOKEN.REVOKE 7", Some(Event::Token), &["7"]);
        check("TOKEN.REVOKE USER ada", Some(Event::Token), &["USER", "ada"]);
        check("TOKEN.REVOKE eyJ.a.b", Some(Event::Token), &[]);
        check("TOKEN.ROTATE", Some(Event::Token), &[]);
        check("TOKEN.LIST", None, &[]);
        check("KEY.STATUS", None, &[]);
        check("DOC.DROP c", Some(Event::Ddl), &["c"]);
        check("IDX.CREATE c i {}", Some(Event::Ddl), &["c"]);
        check("IDX.LIST c", Some(Event::Read), &["c"]);
        check("FLUSHALL", Some(Event::Ddl), &[]);
        check("DOC.SET c 1 {}", Some(Event::Write), &["c"]);
        check("DOC.GET c 1", Some(Event::Read), &["c"]);
        check("MSET a 1 b 2", Some(Event::Write), &["a", "b"]);
        check("PING", None, &[]);
        check("SUBSCRIBE a", None, &[]);
    }
}
