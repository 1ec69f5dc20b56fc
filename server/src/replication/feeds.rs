//! Who follows this server, as far as others than the feeds' own tasks need to know.
//!
//! What is to be said to a replica beside the stream waits in its outbox, which has a bound: who does not read is cut off, comes
//! again, and goes on where it stopped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use veddb_commands::replication::{Order, ReplicaInfo};

use super::wire::{Heard, Said};
use crate::client::Client;

/// Bytes of messages that may wait for one replica.
pub(crate) const OUTBOX_BYTES: usize = 32 << 20;
/// What a message takes beside its text.
const MESSAGE_BYTES: usize = size_of::<Said>();

/// One replica that follows.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Its connection.
    client: Arc<Client>,
    /// Where it listens.
    pub(crate) ip: String,
    pub(crate) port: u16,
    /// It has the snapshot, if it needed one, and gets units.
    online: AtomicBool,
    written: AtomicU64,
    synced: AtomicU64,
    /// Up to where it was asked to sync what it has written.
    asked: Mutex<Asked>,
    heard: Mutex<Instant>,
    outbox: Mutex<Outbox>,
    pub(crate) filled: Notify,
    /// Its link has ended.
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Outbox {
    said: VecDeque<Said>,
    bytes: usize,
}

impl Feed {
    /// A replica that has just asked.
    pub(crate) fn new(client: Arc<Client>, ip: String, port: u16, lsn: u64) -> Feed {
        Feed {
            client,
            ip,
            port,
            online: AtomicBool::new(false),
            written: AtomicU64::new(lsn),
            // What it has on disk it says itself.
            synced: AtomicU64::new(0),
            asked: Mutex::default(),
            heard: Mutex::new(Instant::now()),
            outbox: Mutex::default(),
            filled: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// What it said of itself.
    pub(crate) fn heard(&self, heard: &Heard) {
        self.written.store(heard.written, Relaxed);
        self.synced.store(if heard.syncing { 0 } else { heard.synced }, Relaxed);
        self.online.store(!heard.syncing, SeqCst);
        if heard.syncing {
            *self.asked.lock() = Asked::default();
        }
        *self.heard.lock() = Instant::now();
    }

    /// How long ago it was last heard of.
    pub(crate) fn silent(&self) -> Duration {
        self.heard.lock().elapsed()
    }

    /// Notes that its link has ended.
    pub(crate) fn end(&self) {
        self.ended.store(true, SeqCst);
    }

    /// Whether its link has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// Whether it gets units.
    pub(crate) fn is_online(&self) -> bool {
        self.online.load(SeqCst)
    }

    /// The last unit that it has written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// The last unit that it has on disk.
    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Relaxed)
    }

    /// Whether it has this unit, and not on disk.
    fn lingers(&self, lsn: u64) -> bool {
        self.is_online() && self.written() >= lsn && self.synced() < lsn
    }

    /// Has it bring what it has written to the disk. However many wait for that, it is asked once at a time.
    fn ask_to_sync(&self) {
        if self.asked.lock().is_due(self.written(), self.synced()) {
            self.say(Said::Sync);
        }
    }

    /// Has this be said to it. Who lets too much wait is cut off.
    pub(crate) fn say(&self, said: Said) {
        let mut outbox = self.outbox.lock();
        outbox.bytes += size(&said);
        outbox.said.push_back(said);
        if outbox.bytes > OUTBOX_BYTES {
            *outbox = Outbox::default();
            tracing::warn!(replica = %self.ip, port = self.port, "closed: the replica does not read the messages that are published");
            self.client.kill();
        }
        drop(outbox);
        self.filled.notify_one();
    }

    /// Bytes of messages that wait for it, of [`OUTBOX_BYTES`].
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.outbox.lock().bytes
    }

    /// Takes what waits.
    pub(crate) fn take(&self) -> VecDeque<Said> {
        std::mem::take(&mut *self.outbox.lock()).said
    }

    /// What is known of it.
    pub(crate) fn info(&self) -> ReplicaInfo {
        ReplicaInfo {
            id: self.client.id,
            ip: self.ip.clone(),
            port: self.port,
            state: if self.is_online() { "online" } else { "send_bulk" },
            written: self.written(),
            synced: self.synced(),
            lag_s: self.silent().as_secs(),
        }
    }
}

/// Up to which unit a replica was asked to sync; 0 is none.
#[derive(Debug, Default)]
struct Asked(u64);

impl Asked {
    /// Whether a replica that has written and synced so much is to be asked now, which it is then. Not before it has done what it was
    /// asked for last.
    fn is_due(&mut self, written: u64, synced: u64) -> bool {
        let is_due = synced < written && self.0 <= synced;
        if is_due {
            self.0 = written;
        }
        is_due
    }
}

fn size(said: &Said) -> usize {
    match said {
        Said::Message { channel, message, .. } => MESSAGE_BYTES + channel.len() + message.len(),
        _ => MESSAGE_BYTES,
    }
}

/// All replicas that follow, by the ids of their connections.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    all: Mutex<BTreeMap<u64, Arc<Feed>>>,
    /// How many they are: looked at before the lock.
    count: AtomicUsize,
    /// Some replica said how far it is, came or went.
    progressed: Notify,
}

impl Feeds {
    /// One more.
    pub(crate) fn add(&self, id: u64, feed: Arc<Feed>) {
        let mut all = self.all.lock();
        all.insert(id, feed);
        self.count.store(all.len(), SeqCst);
    }

    /// One less.
    pub(crate) fn remove(&self, id: u64) {
        let mut all = self.all.lock();
        all.remove(&id);
        self.count.store(all.len(), SeqCst);
        drop(all);
        self.progressed.notify_waiters();
    }

    /// How many follow.
    pub(crate) fn len(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Arc<Feed>> {
        if self.len() == 0 { Vec::new() } else { self.all.lock().values().cloned().collect() }
    }

    /// What is known of all of them.
    pub(crate) fn infos(&self) -> Vec<ReplicaInfo> {
        self.list().iter().map(|feed| feed.info()).collect()
    }

    /// How many are online and were heard of within so many seconds.
    pub(crate) fn good(&self, max_lag_s: u64) -> usize {
        let is_good = |feed: &&Arc<Feed>| feed.is_online() && feed.silent().as_secs() <= max_lag_s;
        self.list().iter().filter(is_good).count()
    }

    /// How many have this unit on disk.
    pub(crate) fn synced(&self, lsn: u64) -> u64 {
        self.list().iter().filter(|feed| feed.synced() >= lsn).count() as u64
    }

    /// Notes that some replica said how far it is.
    pub(crate) fn progress(&self) {
        self.progressed.notify_waiters();
    }

    /// Returns once so many have this unit on disk, or that is given up; `count` is kept up to date meanwhile.
    pub(super) async fn until_synced(&self, lsn: u64, wanted: u64, count: &mut u64, given_up: impl Fn() -> bool) {
        loop {
            let progressed = self.progressed.notified();
            tokio::pin!(progressed);
            // Listened to before looking, so that progress in between is not missed.
            progressed.as_mut().enable();
            *count = self.synced(lsn);
            if *count >= wanted || given_up() {
                return;
            }
            // What is not on their disks by itself is brought there, once they have it: what is said to them here does not
            // keep behind what they read of the log.
            self.list().iter().filter(|feed| feed.lingers(lsn)).for_each(|feed| feed.ask_to_sync());
            progressed.await;
        }
    }

    /// Returns once one of them, of this address if any is named, has written this unit; where that listens.
    pub(crate) async fn until_written(&self, lsn: u64, target: Option<&(String, u16)>) -> (String, u16) {
        loop {
            let progressed = self.progressed.notified();
            tokio::pin!(progressed);
            progressed.as_mut().enable();
            let fits = |feed: &&Arc<Feed>| {
                let is_target = target.is_none_or(|(ip, port)| feed.ip == *ip && feed.port == *port);
                is_target && feed.is_online() && feed.written() >= lsn
            };
            if let Some(feed) = self.list().iter().find(fits) {
                return (feed.ip.clone(), feed.port);
            }
            progressed.await;
        }
    }

    /// Sends messages to all.
    pub(crate) fn publish(&self, shard: bool, channel: &[u8], messages: &[&[u8]]) {
        if self.len() == 0 {
            return;
        }
        let (channel, feeds) = (Bytes::copy_from_slice(channel), self.list());
        for message in messages.iter().copied().map(Bytes::copy_from_slice) {
            for feed in &feeds {
                feed.say(Said::Message { shard, channel: channel.clone(), message: message.clone() });
            }
        }
    }

    /// Gives one of them, or all, an order; how many that are.
    pub(crate) fn order(&self, id: Option<u64>, order: Order) -> usize {
        let said = |order| match order {
            Order::Leave => Said::Leave,
            Order::Resync => Said::Resync,
        };
        let chosen: Vec<_> = self.list().into_iter().filter(|feed| id.is_none_or(|id| id == feed.client.id)).collect();
        chosen.iter().for_each(|feed| feed.say(said(order)));
        chosen.len()
    }

    /// Closes the connections of all: they come again.
    pub(crate) fn close(&self) {
        self.list().iter().for_each(|feed| feed.client.kill());
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn one_request_to_sync_is_under_way_at_a_time() {
        let mut asked = Asked::default();
        assert!(!asked.is_due(5, 5), "there is nothing to sync");
        assert!(asked.is_due(10, 5));
        for (written, synced) in [(10, 5), (12, 5), (20, 9)] {
            assert!(!asked.is_due(written, synced), "it has not answered: {written} {synced}");
        }
        assert!(asked.is_due(20, 10), "what was written since");
        assert!(!asked.is_due(25, 15));
        assert!(!asked.is_due(25, 25));
        assert!(asked.is_due(26, 25));
    }
}
