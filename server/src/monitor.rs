//! Who hears of every command, and the lines they get.
//!
//! A line is written once for all of them; what they have still to read waits in their mailboxes, as messages do. Where nobody
//! listens a command costs one look at a counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use veddb_commands::Args;
use veddb_commands::lookup::Entry;

use crate::config::OutputLimit;
use crate::pubsub::mailbox::{Filled, Mailbox};
use crate::pubsub::segment::Tail;
use crate::quoting::represent;

/// What stands for a secret.
pub(crate) const REDACTED: &[u8] = b"(redacted)";

/// The connections that hear of every command.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    count: AtomicUsize,
    receivers: Mutex<Receivers>,
}

#[derive(Debug, Default)]
struct Receivers {
    mailboxes: Vec<Arc<Mailbox>>,
    tail: Tail,
}

impl Monitors {
    /// From now on the connection of this mailbox hears of every command.
    pub(crate) fn join(&self, mailbox: &Arc<Mailbox>) {
        let mut receivers = self.receivers.lock();
        if !receivers.mailboxes.iter().any(|known| known.client_id() == mailbox.client_id()) {
            receivers.mailboxes.push(Arc::clone(mailbox));
        }
        self.count.store(receivers.mailboxes.len(), Relaxed);
    }

    /// From now on the client does not.
    pub(crate) fn leave(&self, client: u64) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut receivers = self.receivers.lock();
        receivers.mailboxes.retain(|mailbox| mailbox.client_id() != client);
        self.count.store(receivers.mailboxes.len(), Relaxed);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Tells them of a command that was carried out. They are to be woken with `filled`.
    pub(crate) fn tell(&self, entry: &Entry, args: &Args, from: (u8, &str), limit: &OutputLimit, filled: &mut Filled) {
        // Commands of administrators may hold anything, and are nobody else's business.
        if entry.command.flags.contains(&"admin") || entry.command.flags.contains(&"skip_monitor") {
            return;
        }
        let mut receivers = self.receivers.lock();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (db, addr) = from;
        let span = receivers.tail.append(|out| {
            out.extend(format!("+{}.{:06} [{db} {addr}]", now.as_secs(), now.subsec_micros()).as_bytes());
            for at in 0..args.len() {
                out.push(b' ');
                let shown = if (entry.command.secrets)(args, at) { REDACTED } else { args.bytes(at) };
                represent(shown, out);
            }
            out.extend(b"\r\n");
        });
        receivers.mailboxes.retain(|mailbox| mailbox.put(&span, limit, filled));
        self.count.store(receivers.mailboxes.len(), Relaxed);
    }
}
