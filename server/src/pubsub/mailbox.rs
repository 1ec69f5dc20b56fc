//! The messages that wait for one connection.
//!
//! Publishers put them in and go on; the connection's task takes them out when its socket has room. Who does not read is cut
//! off at `client-output-buffer-limit pubsub`, and slows nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::segment::Span;
use crate::client::Client;
use crate::config::OutputLimit;
use crate::encode::Protocol;

/// The messages that wait for one connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    client: Arc<Client>,
    /// Whether messages come as RESP3's pushes.
    pushes: AtomicBool,
    /// Whether there are messages, or were when it was closed: looked at before the lock.
    filled: AtomicBool,
    queue: Mutex<Queue>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    spans: VecDeque<Span>,
    /// Of all spans, with what a span itself takes.
    bytes: usize,
    /// Since when there is more than the soft limit.
    over_since: Option<Instant>,
    /// Nothing is taken any more.
    closed: bool,
}

/// The mailboxes that got messages since their connections were last woken. Woken together, a connection sends what came for it
/// in one write.
pub(crate) type Filled = Vec<Arc<Mailbox>>;

/// Wakes the connections of mailboxes that got messages.
pub(crate) fn wake(filled: &mut Filled) {
    filled.drain(..).for_each(|mailbox| mailbox.woken.notify_one());
}

impl Mailbox {
    /// An empty one.
    pub(crate) fn new(client: &Arc<Client>, protocol: Protocol) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox {
            client: Arc::clone(client),
            pushes: AtomicBool::new(protocol == Protocol::Resp3),
            filled: AtomicBool::new(false),
            queue: Mutex::default(),
            woken: Notify::new(),
        });
        *client.mailbox.lock() = Arc::downgrade(&mailbox);
        mailbox
    }

    /// The protocol of the messages from now on.
    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.pushes.store(protocol == Protocol::Resp3, Relaxed);
    }

    /// The protocol of the messages.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.pushes.load(Relaxed) { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Whose it is.
    pub(crate) fn client_id(&self) -> u64 {
        self.client.id
    }

    /// Puts messages in. Its connection is to be woken by [`wake`] with `filled`. False once it takes no more, because of its limit.
    pub(crate) fn put(self: &Arc<Self>, span: &Span, limit: &OutputLimit, filled: &mut Filled) -> bool {
        let mut queue = self.queue.lock();
        if queue.closed {
            return false;
        }
        // Who finds it empty wakes the connection; until it is empty again that looks for more by itself.
        if queue.spans.is_empty() {
            self.filled.store(true, SeqCst);
            filled.push(Arc::clone(self));
        }
        let joined = queue.spans.back_mut().is_some_and(|last| last.join(span));
        queue.bytes += span.len();
        if !joined {
            queue.bytes += size_of::<Span>();
            queue.spans.push_back(span.clone());
        }
        if queue.is_over(limit) {
            queue.close();
            self.client.kill();
            return false;
        }
        true
    }

    /// Closes it where it is over its limit by now: its soft limit passes while nobody puts anything in.
    pub(crate) fn close_if_over(&self, limit: &OutputLimit) -> bool {
        if !self.is_filled() {
            return false;
        }
        let mut queue = self.queue.lock();
        let over = !queue.closed && queue.is_over(limit);
        if over {
            queue.close();
        }
        over
    }

    /// Whether it takes no more, because of its limit.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// How many bytes of messages wait, with what it takes to hold them.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// How many pieces they are in: what was published one after the other is one.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().spans.len()
    }

    /// Whether there are messages.
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(SeqCst)
    }

    /// Takes the first messages out, until `out` has `most` bytes or there are none left.
    pub(crate) fn take(&self, out: &mut BytesMut, most: usize) {
        let mut queue = self.queue.lock();
        while out.len() < most
            && let Some(span) = queue.spans.pop_front()
        {
            queue.bytes -= span.len() + size_of::<Span>();
            span.put(out);
        }
        if queue.spans.is_empty() {
            queue.over_since = None;
            self.filled.store(false, SeqCst);
        }
    }

    /// Returns once there are messages.
    pub(crate) async fn filled(&self) {
        while !self.is_filled() {
            self.woken.notified().await;
        }
    }
}

impl Queue {
    /// Lets go of what waits. How much that was is still shown of the client, which is about to go.
    fn close(&mut self) {
        *self = Queue { closed: true, bytes: self.bytes, ..Queue::default() };
    }

    /// Whether it holds more than it may, or has held more than the soft limit for too long.
    fn is_over(&mut self, limit: &OutputLimit) -> bool {
        if limit.soft_bytes == 0 || self.bytes <= limit.soft_bytes {
            self.over_since = None;
            return limit.hard_bytes > 0 && self.bytes > limit.hard_bytes;
        }
        let now = Instant::now();
        let since = *self.over_since.get_or_insert(now);
        now.duration_since(since) > Duration::from_secs(limit.soft_s)
            || (limit.hard_bytes > 0 && self.bytes > limit.hard_bytes)
    }
}
