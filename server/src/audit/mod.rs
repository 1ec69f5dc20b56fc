//! What is written into the audit log, and the thread that writes it.
//!
//! Which commands are audited, and what is shown of them, is in [`events`]; what a record is in [`record`]. Records go through a
//! bounded queue to the thread of [`mod@write`]; how they lie on the disk is the store's.

mod events;
mod record;
mod write;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use veddb_commands::context::Limits;
use veddb_commands::lookup::Entry;
use veddb_commands::{Args, CommandError, ErrorCode};

use crate::client::Client;
use crate::config;
pub use events::Events;
use events::{Event, changes_auditing, event, names, text};
pub(crate) use record::Noted;
use record::Records;
pub use write::{flush, start};

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

/// Handfuls of records that wait for the thread, each of some 16 KiB at most.
pub(crate) const QUEUE: usize = 1024;
/// How long a connection waits for a place in the queue. It has a thread of the runtime meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the queue carries.
#[derive(Debug)]
enum Item {
    Records(Records),
    /// Tell when all before it is written.
    Flush(SyncSender<()>),
}

/// Takes records for the audit log.
#[derive(Debug)]
pub(crate) struct Auditor {
    queue: SyncSender<Item>,
    /// Handfuls in it, and the one that is being put in.
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

    /// How many handfuls of records wait to be written, of [`QUEUE`].
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
    fn push_soon(&self, mut records: Item) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !self.is_failing() {
            match self.send(records) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) => records = back,
                Err(TrySendError::Disconnected(_)) => return false,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn push(&self, records: Records) {
        let count = records.len() as u64;
        match self.send(Item::Records(records)) {
            Ok(()) => {}
            // The disk is slower than what is audited: who asks waits for it, for a while.
            Err(TrySendError::Full(records)) if !self.is_failing() => {
                let kept = tokio::task::block_in_place(|| self.push_soon(records));
                self.lost.fetch_add(if kept { 0 } else { count }, Relaxed);
            }
            Err(_) => {
                self.lost.fetch_add(count, Relaxed);
            }
        }
    }
}

impl Noted {
    /// Notes how a command ended, where that is audited.
    pub(crate) fn note(
        &mut self,
        settings: &Settings,
        (entry, args): (&'static Entry, &Args),
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
        self.add(event, &entry.name, client, &names(entry, args, limits), error);
    }

    /// Notes whether a connection became the user that its certificate names.
    pub(crate) fn note_certificate(&mut self, settings: &Settings, client: &Client, name: &Bytes, is_in: bool) {
        if settings.events.has(Event::Auth) {
            let error = (!is_in).then_some(ErrorCode::NoAuth);
            self.add(Event::Auth, "tls-auth-clients-user", client, &[text(name)], error);
        }
    }
}
