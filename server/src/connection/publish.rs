//! Publishing: messages of one pipeline that go to one channel one after the other are handed out together.
//!
//! Each receiver is then looked at once for all of them. Nobody can tell: none of them is answered before they are handed out,
//! and their order is kept.

use std::time::Instant;

use veddb_commands::lookup::Entry;
use veddb_commands::{Args, Reply};

use super::Connection;
use super::request::Request;

/// So many messages are handed out at once, at most, and so many bytes of them where each is short.
const MESSAGES_MAX: usize = 1024;
const BYTES_MAX: usize = 64 * 1024;

/// The run of messages for one channel that has come together and is not yet handed out.
#[derive(Default)]
pub(super) struct Published {
    /// In the order of the requests.
    requests: Vec<(&'static Entry, Args, Request)>,
    bytes: usize,
    began: Option<Instant>,
}

impl Published {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether a request may join those that are there, if any.
    pub(super) fn takes(&self, args: &Args) -> bool {
        let Some((entry, first, _)) = self.requests.first() else { return true };
        let fits = self.requests.len() < MESSAGES_MAX && self.bytes < BYTES_MAX;
        fits && args.len() == first.len() && args.bytes(1) == first.bytes(1) && args.is(0, &entry.name)
    }
}

/// Whether a request only sends a message.
pub(super) fn publishes(args: &Args) -> bool {
    ["PUBLISH", "SPUBLISH"].iter().any(|name| args.is(0, name))
}

impl Connection {
    /// Has a message wait for those that come right after it, if any do.
    pub(super) fn publish_soon(&mut self, entry: &'static Entry, args: Args, request: Request) {
        self.published.began.get_or_insert(request.started());
        self.published.bytes += args.bytes(2).len();
        self.published.requests.push((entry, args, request));
    }

    /// Hands the messages out that came together, and answers them. The receivers are still to be woken.
    pub(super) fn publish_now(&mut self) {
        let Published { requests, began, .. } = std::mem::take(&mut self.published);
        let (Some((entry, first, _)), Some(began)) = (requests.first(), began) else { return };
        let messages: Vec<&[u8]> = requests.iter().map(|(_, args, _)| args.bytes(2).as_ref()).collect();
        let shard = entry.name == "spublish";
        let limit = &self.settings.client_output_buffer_limit.pubsub;
        let filled = &mut self.state.filled;
        let counts = self.server.publish_of_client(shard, first.bytes(1), &messages, limit, filled);
        // Each has its share of the time that all of them took.
        let share = began.elapsed() / u32::try_from(requests.len()).unwrap_or(u32::MAX);
        for ((entry, args, request), count) in requests.into_iter().zip(counts) {
            let request = Request { waited: request.came.elapsed().saturating_sub(share), ..request };
            self.answer(entry, &args, &request, Ok(Reply::count(count)));
        }
    }
}
