//! A connection's bytes: reading requests, sending replies and messages, and waiting for either to be possible.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::{Closed, Connection, READ_MIN};
use crate::pubsub::mailbox;
use crate::session::State;
use crate::stream::Stream;

/// The most that one read sets aside for an argument that was announced.
const READ_MAX: usize = 1024 * 1024;
/// What one read asks for at most of a client that keeps filling its buffer.
const READ_AHEAD_MAX: usize = 512 * 1024;
/// An empty buffer larger than this is given back.
const KEEP_BYTES: usize = 1024 * 1024;

/// What a connection waited for.
enum Woken {
    /// The client sent something.
    Bytes,
    /// There are messages for it.
    Messages,
}

impl Connection {
    /// Takes messages that came for this connection, until there are so many bytes to send.
    pub(super) fn take_messages(&mut self, most: usize) {
        if let Some(subscriptions) = &self.state.subscriptions
            && subscriptions.mailbox.is_filled()
        {
            subscriptions.mailbox.take(&mut self.output, most);
        }
    }

    /// Waits for bytes, or for a reason to close.
    pub(super) async fn read(&mut self) -> Result<(), Closed> {
        if self.input.is_empty() && self.input.capacity() > KEEP_BYTES {
            self.input = BytesMut::new();
        }
        if self.stopping.borrow().is_some() {
            return Err(Closed::Stop);
        }
        let count = loop {
            if let Some(count) = self.read_what_is_there().await? {
                break count;
            }
            // A connection that says nothing holds nothing.
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            self.output = BytesMut::new();
            self.note_buffers();
            if let Woken::Messages = self.wait().await? {
                return Ok(());
            }
        };
        // A client that fills the buffer sends a long pipeline: the more of it is read at once, the more of its writes share
        // one sync.
        let filled = self.input.len() == self.input.capacity();
        self.read_bytes = if filled { (self.read_bytes * 2).min(READ_AHEAD_MAX) } else { READ_MIN };
        self.server.metrics.net_input_bytes.fetch_add(count as u64, Relaxed);
        self.server.metrics.reads_processed.fetch_add(1, Relaxed);
        self.client.touch();
        self.note_buffers();
        Ok(())
    }

    /// Reads without waiting; None where nothing has come.
    async fn read_what_is_there(&mut self) -> Result<Option<usize>, Closed> {
        self.input.reserve(self.framer.wanted(&self.input).clamp(self.read_bytes, READ_MAX));
        match self.stream.read_now(&mut self.input).await {
            Ok(Some(0)) | Err(_) => Err(Closed::Peer),
            Ok(read) => Ok(read),
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<Woken, Closed> {
        // All that came is answered, so nothing of it is held any more.
        self.client.argument_memory.store(0, Relaxed);
        // The server closes those that wait too long, by a look at all of them a second.
        self.client.waits.store(true, Relaxed);
        let woken = tokio::select! {
            readable = self.stream.readable() => readable.map(|()| Woken::Bytes).map_err(|_| Closed::Peer),
            () = filled(&self.state) => Ok(Woken::Messages),
            () = self.client.killed() => Err(Closed::Server),
            _ = self.stopping.wait_for(Option::is_some) => Err(Closed::Stop),
        };
        self.client.waits.store(false, Relaxed);
        woken
    }

    fn note_buffers(&self) {
        self.client.query_buffer.store(self.input.len() + self.framer.held(), Relaxed);
        self.client.query_buffer_free.store(self.input.capacity() - self.input.len(), Relaxed);
        self.client.reply_buffer.store(self.output.capacity(), Relaxed);
    }

    /// Sends what was replied.
    pub(super) async fn flush(&mut self) -> Result<(), Closed> {
        // Whoever published and does not read its replies holds up itself alone.
        mailbox::wake(&mut self.state.filled);
        self.noted.hand_over();
        let length = self.output.len();
        if length == 0 {
            return Ok(());
        }
        self.client.output_length.store(length, Relaxed);
        self.client.reply_buffer.store(self.output.capacity(), Relaxed);
        self.client.reply_buffer_peak.fetch_max(length, Relaxed);
        let limits = &self.settings.client_output_buffer_limit;
        let limit = if self.state.listens() { limits.pubsub } else { limits.normal };
        if limit.hard_bytes > 0 && length > limit.hard_bytes {
            return Err(self.output_limit_passed());
        }
        let soft = limit.soft_bytes > 0 && length > limit.soft_bytes;
        let patience = async {
            if soft {
                tokio::time::sleep(Duration::from_secs(limit.soft_s)).await
            } else {
                std::future::pending().await
            }
        };
        self.client.waits.store(true, Relaxed);
        let sent = tokio::select! {
            biased;
            sent = write_all(&mut self.stream, &mut self.output) => Some(sent.map_err(|_| Closed::Peer)),
            () = self.client.killed() => Some(Err(Closed::Server)),
            () = patience => None,
        };
        self.client.waits.store(false, Relaxed);
        // Also where the rest was not taken.
        self.server.metrics.net_output_bytes.fetch_add((length - self.output.len()) as u64, Relaxed);
        match sent {
            Some(sent) => sent?,
            None => return Err(self.output_limit_passed()),
        }
        if self.output.capacity() > KEEP_BYTES {
            self.output = BytesMut::new();
        }
        self.server.metrics.writes_processed.fetch_add(1, Relaxed);
        self.client.output_length.store(0, Relaxed);
        self.client.touch();
        Ok(())
    }

    pub(super) fn output_limit_passed(&self) -> Closed {
        self.server.metrics.output_buffer_disconnections.fetch_add(1, Relaxed);
        tracing::warn!(client = self.client.id, addr = %self.client.addr, "closed: client-output-buffer-limit");
        Closed::Server
    }
}

/// Sends all of it. TLS keeps what it has sealed until the socket takes it, so it is asked to send that as well.
async fn write_all(stream: &mut Stream, bytes: &mut BytesMut) -> std::io::Result<()> {
    stream.write_all_buf(bytes).await?;
    stream.flush().await
}

/// Returns once there are messages for the connection.
pub(super) async fn filled(state: &State) {
    match &state.subscriptions {
        Some(subscriptions) => subscriptions.mailbox.filled().await,
        None => std::future::pending().await,
    }
}
