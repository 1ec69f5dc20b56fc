//! Figures of connections, of what is published, and of queues.

use std::sync::atomic::Ordering::Relaxed;

use super::{Family, Kind, Samples, Sight, counter, gauge, many};
use crate::audit;
use crate::client::Client;
use crate::memory::held;
use crate::replication::{feeds, follow};
use crate::server::COMMIT_QUEUE;

pub(super) const FAMILIES: &[Family] = &[
    many(
        Kind::Gauge,
        "veddb_connections",
        "Connections, by what they are now: normal, pubsub (they listen), monitor, replica",
        &["class"],
        |s, out| by_class(s, out, |_| 1),
    ),
    gauge("veddb_connections_limit", "Connections that may be there at once (maxclients)", |s| {
        Some(s.settings.maxclients as f64)
    }),
    many(
        Kind::Gauge,
        "veddb_connection_memory_bytes",
        "What connections hold: requests, replies, messages that wait",
        &["class"],
        |s, out| by_class(s, out, held),
    ),
    gauge("veddb_connections_blocked", "Connections whose answer waits", |s| {
        Some(s.clients.iter().filter(|client| client.is_blocked()).count() as f64)
    }),
    gauge("veddb_watched_names", "Names that connections watch", |s| {
        Some(s.clients.iter().map(|client| client.watched.load(Relaxed)).sum::<usize>() as f64)
    }),
    counter(
        "veddb_connections_received_total",
        "Connections that were accepted, also those that were turned away then",
        |s| Some(s.server.metrics.connections_received.load(Relaxed) as f64),
    ),
    counter("veddb_connections_rejected_total", "Connections that were turned away at the door", |s| {
        Some(s.server.metrics.connections_rejected.load(Relaxed) as f64)
    }),
    counter(
        "veddb_tls_handshakes_failed_total",
        "Connections to tls-port that ended before their keys were made",
        |s| Some(s.server.metrics.tls_handshakes_failed.load(Relaxed) as f64),
    ),
    many(
        Kind::Counter,
        "veddb_connections_cut_off_total",
        "Connections that were closed since they held too much: input (a request), output (what they did not read)",
        &["buffer"],
        |s, out| {
            let metrics = &s.server.metrics;
            out.put(&["input"], metrics.query_buffer_disconnections.load(Relaxed) as f64);
            out.put(&["output"], metrics.output_buffer_disconnections.load(Relaxed) as f64);
        },
    ),
    counter("veddb_network_input_bytes_total", "Bytes of requests and of links, without what TLS adds", |s| {
        Some(s.server.metrics.net_input_bytes.load(Relaxed) as f64)
    }),
    counter("veddb_network_output_bytes_total", "Bytes of replies, messages and links, without what TLS adds", |s| {
        Some(s.server.metrics.net_output_bytes.load(Relaxed) as f64)
    }),
    many(
        Kind::Gauge,
        "veddb_pubsub_subjects",
        "What somebody listens to, by its kind: channel, pattern, shard (a shard channel)",
        &["kind"],
        |s, out| {
            let pubsub = &s.server.pubsub;
            for (kind, count) in
                [("channel", pubsub.count(false)), ("pattern", pubsub.patterns()), ("shard", pubsub.count(true))]
            {
                out.put(&[kind], count as f64);
            }
        },
    ),
    many(
        Kind::Gauge,
        "veddb_long_reads",
        "Long reads, and writes that read first, by whether they have a thread: running, waiting",
        &["state"],
        |s, out| {
            let running = s.settings.io_threads.saturating_sub(s.server.read_slots.available_permits());
            out.put(&["running"], running as f64);
            out.put(&["waiting"], s.server.reads_waiting.load(Relaxed) as f64);
        },
    ),
    gauge("veddb_long_reads_limit", "How many may run at once (io-threads)", |s| Some(s.settings.io_threads as f64)),
    many(
        Kind::Gauge,
        "veddb_queue_length",
        "What waits, or is at work: commit (groups of writes), audit (handfuls of records), apply (pieces of the primary's log), traces (spans)",
        &["queue"],
        |s, out| queues(s).into_iter().for_each(|(queue, length, _)| out.put(&[queue], length as f64)),
    ),
    many(
        Kind::Gauge,
        "veddb_queue_limit",
        "How much of it there may be; whoever comes then waits, or is refused, and spans are dropped",
        &["queue"],
        |s, out| queues(s).into_iter().for_each(|(queue, _, limit)| out.put(&[queue], limit as f64)),
    ),
    many(
        Kind::Gauge,
        "veddb_queue_bytes",
        "Bytes that wait: pubsub (of the connection that has most), replica (messages, of the replica that has most)",
        &["queue"],
        |s, out| bytes(s).into_iter().for_each(|(queue, length, _)| out.put(&[queue], length as f64)),
    ),
    many(
        Kind::Gauge,
        "veddb_queue_limit_bytes",
        "How much may wait before who does not read is cut off; 0 is no limit",
        &["queue"],
        |s, out| bytes(s).into_iter().for_each(|(queue, _, limit)| out.put(&[queue], limit as f64)),
    ),
];

fn class(client: &Client) -> &'static str {
    if client.replica.load(Relaxed) {
        "replica"
    } else if client.monitors.load(Relaxed) {
        "monitor"
    } else if client.is_subscriber() {
        "pubsub"
    } else {
        "normal"
    }
}

fn by_class(s: &Sight<'_>, out: &mut Samples<'_>, of: fn(&Client) -> usize) {
    for name in ["normal", "pubsub", "monitor", "replica"] {
        let clients = s.clients.iter().filter(|client| class(client) == name);
        out.put(&[name], clients.map(|client| of(client)).sum::<usize>() as f64);
    }
}

/// Name, length and limit of each queue that is counted in pieces.
fn queues(s: &Sight<'_>) -> Vec<(&'static str, usize, usize)> {
    let server = s.server;
    let traces = server.traces.figures().map(|figures| ("traces", figures.queued(), figures.queue_max()));
    let always = [
        ("commit", COMMIT_QUEUE.saturating_sub(server.commit_slots.available_permits()), COMMIT_QUEUE),
        ("audit", server.audit.waiting(), audit::QUEUE),
        ("apply", server.replication.pieces_waiting(), follow::APPLYING as usize),
    ];
    always.into_iter().chain(traces).collect()
}

/// The same of those that are counted in bytes.
fn bytes(s: &Sight<'_>) -> [(&'static str, usize, usize); 2] {
    let messages = s.clients.iter().map(|client| client.message_memory()).max().unwrap_or(0);
    let outbox = s.server.replication.feeds.list().iter().map(|feed| feed.waiting_bytes()).max().unwrap_or(0);
    [
        ("pubsub", messages, s.settings.client_output_buffer_limit.pubsub.hard_bytes),
        ("replica", outbox, feeds::OUTBOX_BYTES),
    ]
}
