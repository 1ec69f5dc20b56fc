//! The primary's side of a link: a replica's connection, from REPLICA.FOLLOW to its end.
//!
//! The connection's task sends what a thread reads ([`super::reading`]), says what is published, and hears how far the replica is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use veddb_commands::replication::FollowRequest;

use super::feeds::Feed;
use super::reading::Reading;
use super::wire::{ANSWER_BYTES_MAX, Heard, Said, take};
use crate::client::Client;
use crate::server::Server;
use crate::stream::Stream;

/// Pieces that wait between the thread and the socket.
const PIECES: usize = 4;
/// Bytes after which what was put together is sent.
const SEND_BYTES: usize = 64 << 10;

/// Feeds a replica until the link ends.
pub(crate) async fn run(
    server: &Arc<Server>,
    client: &Arc<Client>,
    socket: Stream,
    input: BytesMut,
    request: FollowRequest,
) {
    let ip = if request.ip.is_empty() { client.addr.ip().to_canonical().to_string() } else { request.ip.clone() };
    let feed = Arc::new(Feed::new(Arc::clone(client), ip, request.port, request.lsn));
    tracing::info!(replica = %feed.ip, port = feed.port, lsn = request.lsn, "a replica asks to follow");
    client.replica.store(true, Relaxed);
    server.replication.feeds.add(client.id, Arc::clone(&feed));
    // Between the reply and here it may have been taken away: the replica asks again. It is looked for after whoever takes it away can
    // find this.
    let Some(store) = server.store_now() else {
        server.replication.feeds.remove(client.id);
        return;
    };
    let (pieces, queue) = mpsc::channel(PIECES);
    let reading = Reading::new(server, store, &feed, request, pieces);
    let thread = std::thread::Builder::new().name("veddb-feed".to_owned()).spawn(move || reading.run());
    let ended = match thread {
        Err(error) => format!("there is no thread for it: {error}"),
        Ok(_) => {
            let (from, to) = tokio::io::split(socket);
            let mut stopping = server.watch_stop();
            tokio::select! {
                ended = send(server, &feed, to, queue) => ended,
                ended = hear(server, &feed, from, input) => ended,
                () = client.killed() => "it was closed here".to_owned(),
                () = async {
                    let _ = stopping.wait_for(Option::is_some).await;
                    even(server, &feed).await;
                } => "the server stops".to_owned(),
            }
        }
    };
    feed.end();
    server.replication.feeds.remove(client.id);
    tracing::info!(replica = %feed.ip, port = feed.port, why = ended, "a replica's link has ended");
}

/// Returns once the replica has written all that was written here, which whoever stops the server counts on.
async fn even(server: &Server, feed: &Feed) {
    while feed.is_online() && feed.written() < server.position().lsn {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends what the thread reads, what is published, and signs of life.
async fn send(server: &Server, feed: &Feed, mut to: WriteHalf<Stream>, mut queue: mpsc::Receiver<Said>) -> String {
    let mut out = BytesMut::new();
    // At once, so that the replica knows whom it follows.
    let mut beat = tokio::time::Instant::now();
    loop {
        tokio::select! {
            piece = queue.recv() => match piece {
                Some(last @ (Said::Refused(_) | Said::Diverged { .. })) => {
                    last.encode(&mut out);
                    let _ = to.write_all_buf(&mut out).await;
                    let _ = to.shutdown().await;
                    return "it cannot follow from where it is".to_owned();
                }
                Some(piece) => piece.encode(&mut out),
                None => return "the log is no longer read for it".to_owned(),
            },
            () = feed.filled.notified() => {}
            () = tokio::time::sleep_until(beat) => {
                let settings = server.config.load();
                beat = tokio::time::Instant::now() + Duration::from_secs(settings.repl_ping_period_s);
                let position = server.position();
                Said::Beat { term: position.term, lsn: position.lsn, chain: server.chain() }.encode(&mut out);
                if feed.silent() > Duration::from_secs(settings.repl_timeout_s) {
                    return "it has been silent for repl-timeout".to_owned();
                }
            }
        }
        let mut is_begun = false;
        for said in feed.take() {
            said.encode(&mut out);
            if out.len() > SEND_BYTES {
                server.metrics.net_output_bytes.fetch_add(out.len() as u64, Relaxed);
                if let Err(error) = to.write_all_buf(&mut out).await {
                    return error.to_string();
                }
                is_begun = true;
            }
        }
        // What was written may wait in TLS until it is flushed.
        if out.is_empty() && !is_begun {
            continue;
        }
        server.metrics.net_output_bytes.fetch_add(out.len() as u64, Relaxed);
        let written = async {
            to.write_all_buf(&mut out).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            return error.to_string();
        }
    }
}

/// Hears how far the replica is.
async fn hear(server: &Server, feed: &Feed, mut from: ReadHalf<Stream>, mut input: BytesMut) -> String {
    loop {
        match take(&mut input, ANSWER_BYTES_MAX)
            .and_then(|message| message.map(|(kind, body)| Heard::decode(kind, body)).transpose())
        {
            Ok(Some(heard)) => {
                // Before it is in step its term is judged by who reads for it.
                if !heard.syncing
                    && let Err(why) = server.replication.met_term(server.position().term, heard.term)
                {
                    return why;
                }
                feed.heard(&heard);
                server.replication.feeds.progress();
                continue;
            }
            Ok(None) => {}
            Err(error) => return error.to_string(),
        }
        let timeout = Duration::from_secs(server.config.load().repl_timeout_s);
        match tokio::time::timeout(timeout, from.read_buf(&mut input)).await {
            Err(_) => return "it has been silent for repl-timeout".to_owned(),
            Ok(Ok(0)) => return "the replica has closed it".to_owned(),
            Ok(Ok(count)) => {
                server.metrics.net_input_bytes.fetch_add(count as u64, Relaxed);
            }
            Ok(Err(error)) => return error.to_string(),
        }
    }
}
