//! Figures of commands, and of what long reads share.

use std::sync::atomic::Ordering::Relaxed;

use super::{Family, Kind, Samples, Sight, counter, gauge, many};

/// Buckets of commands: from 16 us, doubled, to 33.6 s.
const BUCKETS: (u32, u32) = (4, 25);

pub(super) const FAMILIES: &[Family] = &[
    many(
        Kind::Counter,
        "veddb_commands_total",
        "Commands, by what became of them: ok, failed (they ran and ended in an error), rejected (they did not run)",
        &["command", "status"],
        totals,
    ),
    many(
        Kind::Counter,
        "veddb_command_errors_total",
        "Error replies, by their code; the command is empty where the request named none",
        &["command", "code"],
        |s, out| {
            for (command, code, count) in s.server.metrics.command_errors() {
                out.put(&[command, code], count as f64);
            }
        },
    ),
    many(
        Kind::Histogram,
        "veddb_command_duration_seconds",
        "From a request being there to its answer being ready, while latency-tracking is on; of commands in EXEC an equal part of it",
        &["command"],
        |s, out| {
            for (command, measured) in s.server.metrics.timed() {
                out.times(&[command], &measured, BUCKETS);
            }
        },
    ),
    counter(
        "veddb_slow_commands_total",
        "Commands that SLOWLOG was told of",
        |s| Some(s.server.slowlog.count() as f64),
    ),
    gauge("veddb_query_memory_bytes", "What running queries hold", |s| Some(s.server.queries.memory().used() as f64)),
    gauge("veddb_query_memory_limit_bytes", "What they may hold together (query-memory-total)", |s| {
        Some(s.settings.query_limits.memory_total as f64)
    }),
    counter("veddb_query_spilled_bytes_total", "What queries wrote to temporary files", |s| {
        Some(s.server.queries.memory().spilled() as f64)
    }),
    gauge("veddb_cursors", "Open cursors", |s| Some(s.server.queries.cursors() as f64)),
    gauge("veddb_cursors_limit", "Cursors that may be open (max-cursors)", |s| {
        Some(s.settings.query_limits.cursors as f64)
    }),
    counter(
        "veddb_pubsub_messages_total",
        "Messages that were published here, and those that came from the primary",
        |s| Some(s.server.metrics.messages_published.load(Relaxed) as f64),
    ),
    counter("veddb_pubsub_deliveries_total", "How often they were handed to a connection", |s| {
        Some(s.server.metrics.messages_delivered.load(Relaxed) as f64)
    }),
];

fn totals(s: &Sight<'_>, out: &mut Samples<'_>) {
    for figures in s.server.metrics.commands(&[]) {
        for (status, count) in [("ok", figures.ok), ("failed", figures.failed), ("rejected", figures.rejected)] {
            out.put(&[figures.name, status], count as f64);
        }
    }
}
