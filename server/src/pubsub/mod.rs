//! Pub/sub: who listens to what, and the delivery of messages.
//!
//! A message is encoded once for each protocol that its receivers speak, into a [`segment::Segment`] that they share; what each of
//! them has still to read waits in its [`mailbox::Mailbox`]. Publishing never waits for a receiver. Messages of one channel reach all of its
//! receivers in one order.

pub(crate) mod mailbox;
mod patterns;
pub(crate) mod segment;

use std::collections::HashSet;
use std::hash::RandomState;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;
use veddb_commands::glob;
use veddb_commands::session::Subscription;

use crate::config::OutputLimit;
use crate::encode::Protocol;
use mailbox::{Filled, Mailbox};
use patterns::Patterns;
use segment::Tail;

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    channels: Subjects,
    shard_channels: Subjects,
    patterns: RwLock<Patterns<Arc<Mutex<Subject>>>>,
}

/// Matching that may cost more, in bytes compared, is done apart: a millisecond, about.
const COST_MAX: usize = 1 << 20;

type Subjects = DashMap<Bytes, Subject, RandomState>;

/// A channel or a pattern that somebody listens to.
#[derive(Debug, Default)]
struct Subject {
    /// By the id of the client.
    receivers: IndexMap<u64, Arc<Mailbox>, FxBuildHasher>,
    resp2: Tail,
    resp3: Tail,
}

impl Subject {
    /// Hands messages with these parts before them to all receivers; how many they are.
    fn deliver(&mut self, head: &[&[u8]], messages: &[&[u8]], limit: &OutputLimit, filled: &mut Filled) -> usize {
        let (mut resp2, mut resp3) = (None, None);
        let all = |kind, out: &mut Vec<u8>| messages.iter().for_each(|message| encode(kind, head, message, out));
        for receiver in self.receivers.values() {
            let span = match receiver.protocol() {
                Protocol::Resp2 => resp2.get_or_insert_with(|| self.resp2.append(|out| all(b'*', out))),
                Protocol::Resp3 => resp3.get_or_insert_with(|| self.resp3.append(|out| all(b'>', out))),
            };
            receiver.put(span, limit, filled);
        }
        self.receivers.len()
    }
}

/// A message is an array of strings, or RESP3's push of them.
fn encode(kind: u8, head: &[&[u8]], message: &[u8], out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    out.push(kind);
    out.extend_from_slice(digits.format(head.len() + 1).as_bytes());
    for part in head.iter().copied().chain([message]) {
        out.extend_from_slice(b"\r\n$");
        out.extend_from_slice(digits.format(part.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

impl PubSub {
    /// From now on the connection of this mailbox gets what is published there.
    pub(crate) fn subscribe(&self, kind: Subscription, name: &Bytes, mailbox: &Arc<Mailbox>) {
        let receiver = (mailbox.client_id(), Arc::clone(mailbox));
        match kind {
            Subscription::Channel => {
                self.channels.entry(name.clone()).or_default().receivers.insert(receiver.0, receiver.1)
            }
            Subscription::Shard => {
                self.shard_channels.entry(name.clone()).or_default().receivers.insert(receiver.0, receiver.1)
            }
            Subscription::Pattern => self.patterns.write().entry(name).lock().receivers.insert(receiver.0, receiver.1),
        };
    }

    /// From now on the client does not.
    pub(crate) fn unsubscribe(&self, kind: Subscription, name: &Bytes, client: u64) {
        match kind {
            Subscription::Channel => forget(&self.channels, name, client),
            Subscription::Shard => forget(&self.shard_channels, name, client),
            Subscription::Pattern => {
                let mut patterns = self.patterns.write();
                let Some(subject) = patterns.get_mut(name) else { return };
                let mut subject = subject.lock();
                subject.receivers.swap_remove(&client);
                let is_left = subject.receivers.is_empty();
                drop(subject);
                if is_left {
                    patterns.remove(name);
                }
            }
        }
    }

    /// Hands messages to all who listen to a channel or a shard channel; how many deliveries there are of each. The receivers are
    /// to be woken by [`mailbox::wake`] with `filled`.
    pub(crate) fn publish(
        &self,
        shard: bool,
        channel: &[u8],
        messages: &[&[u8]],
        limit: &OutputLimit,
        filled: &mut Filled,
    ) -> Vec<usize> {
        if !shard && self.patterns() > 0 {
            // Who listens to a channel and a pattern gets each message from both before the next one.
            return messages
                .iter()
                .map(|message| self.publish_to_patterns_too(channel, message, limit, filled))
                .collect();
        }
        let kind: &[u8] = if shard { b"smessage" } else { b"message" };
        let subject = self.subjects(shard).get_mut(channel);
        let count = subject.map_or(0, |mut subject| subject.deliver(&[kind, channel], messages, limit, filled));
        vec![count; messages.len()]
    }

    /// Hands a message to those of the channel before those of patterns.
    fn publish_to_patterns_too(
        &self,
        channel: &[u8],
        message: &[u8],
        limit: &OutputLimit,
        filled: &mut Filled,
    ) -> usize {
        let mut count = 0;
        if let Some(mut subject) = self.channels.get_mut(channel) {
            count += subject.deliver(&[b"message", channel], &[message], limit, filled);
        }
        let patterns = self.patterns.read();
        let mut deliver = |pattern: &Bytes, subject: &Mutex<Subject>| {
            if glob::matches(pattern, channel, false) {
                count += subject.lock().deliver(&[b"pmessage", pattern, channel], &[message], limit, filled);
            }
        };
        if patterns.cost_max(channel) < COST_MAX {
            patterns.candidates(channel).for_each(|(pattern, subject)| deliver(pattern, subject));
            return count;
        }
        // Not while others wait for the lock, nor this worker's other connections for their turn.
        let candidates = patterns.candidates(channel).map(|(pattern, subject)| (pattern.clone(), Arc::clone(subject)));
        let candidates: Vec<_> = candidates.collect();
        drop(patterns);
        tokio::task::block_in_place(|| candidates.iter().for_each(|(pattern, subject)| deliver(pattern, subject)));
        count
    }

    /// The channels, or shard channels, that somebody listens to and that match the glob.
    pub(crate) fn channels(&self, shard: bool, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let fits = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name, false));
        self.subjects(shard).iter().filter(|entry| fits(entry.key())).map(|entry| entry.key().clone()).collect()
    }

    /// How many channels, or shard channels, somebody listens to.
    pub(crate) fn count(&self, shard: bool) -> usize {
        self.subjects(shard).len()
    }

    /// How many listen to a channel or shard channel.
    pub(crate) fn receivers(&self, shard: bool, channel: &[u8]) -> usize {
        self.subjects(shard).get(channel).map_or(0, |subject| subject.receivers.len())
    }

    /// How many different patterns there are.
    pub(crate) fn patterns(&self) -> usize {
        self.patterns.read().len()
    }

    /// Which of these clients listen to a channel (`false`) or a pattern (`true`) that is refused.
    pub(crate) fn listening_to(&self, clients: &HashSet<u64>, refused: impl Fn(&[u8], bool) -> bool) -> HashSet<u64> {
        let mut found = HashSet::new();
        let mut look = |subject: &Subject| found.extend(subject.receivers.keys().filter(|id| clients.contains(id)));
        for subjects in [&self.channels, &self.shard_channels] {
            subjects.iter().filter(|entry| refused(entry.key(), false)).for_each(|entry| look(entry.value()));
        }
        self.patterns
            .read()
            .iter()
            .filter(|(name, _)| refused(name, true))
            .for_each(|(_, subject)| look(&subject.lock()));
        found
    }

    fn subjects(&self, shard: bool) -> &Subjects {
        if shard { &self.shard_channels } else { &self.channels }
    }
}

fn forget(subjects: &Subjects, name: &Bytes, client: u64) {
    subjects.remove_if_mut(name, |_, subject| {
        subject.receivers.swap_remove(&client);
        subject.receivers.is_empty()
    });
}

/// What one connection listens to.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pub(crate) mailbox: Arc<Mailbox>,
    channels: Names,
    patterns: Names,
    shard_channels: Names,
}

type Names = indexmap::IndexSet<Bytes>;

impl Subscriptions {
    /// None yet.
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Subscriptions {
        let (channels, patterns, shard_channels) = Default::default();
        Subscriptions { mailbox, channels, patterns, shard_channels }
    }

    fn names_mut(&mut self, kind: Subscription) -> &mut Names {
        match kind {
            Subscription::Channel => &mut self.channels,
            Subscription::Pattern => &mut self.patterns,
            Subscription::Shard => &mut self.shard_channels,
        }
    }

    /// Of one kind, in the order in which they came.
    pub(crate) fn names(&self, kind: Subscription) -> &Names {
        match kind {
            Subscription::Channel => &self.channels,
            Subscription::Pattern => &self.patterns,
            Subscription::Shard => &self.shard_channels,
        }
    }

    /// Adds one, and answers its name as it is to be kept; none where it was there.
    pub(crate) fn add(&mut self, kind: Subscription, name: &Bytes) -> Option<&Bytes> {
        let names = self.names_mut(kind);
        if names.contains(name) {
            return None;
        }
        // A slice of a request would hold all of the request.
        let (at, _) = names.insert_full(Bytes::copy_from_slice(name));
        names.get_index(at)
    }

    /// Takes one away; false where there was none.
    pub(crate) fn remove(&mut self, kind: Subscription, name: &Bytes) -> bool {
        self.names_mut(kind).swap_remove(name)
    }

    /// What a reply counts: channels and patterns together, shard channels by themselves.
    pub(crate) fn counted(&self, kind: Subscription) -> usize {
        match kind {
            Subscription::Channel | Subscription::Pattern => self.channels.len() + self.patterns.len(),
            Subscription::Shard => self.shard_channels.len(),
        }
    }

    /// How many there are of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard_channels.len()
    }
}

impl PubSub {
    /// Takes everything away that a connection listens to.
    pub(crate) fn leave(&self, subscriptions: &Subscriptions) {
        for kind in [Subscription::Channel, Subscription::Pattern, Subscription::Shard] {
            for name in subscriptions.names(kind) {
                self.unsubscribe(kind, name, subscriptions.mailbox.client_id());
            }
        }
    }
}
