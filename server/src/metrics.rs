//! Counters and latencies. Everything INFO says about the past is counted here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use veddb_commands::ErrorCode;
use veddb_commands::figures::Latencies;
use veddb_commands::lookup::{Entry, entries};
use veddb_storage::{Measured, Stats};

/// The longest latency that is told apart, microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;

/// The server's counters since the start or CONFIG RESETSTAT.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names are INFO's")]
pub struct Metrics {
    pub commands_processed: AtomicU64,
    pub connections_received: AtomicU64,
    pub connections_rejected: AtomicU64,
    /// Connections to `tls-port` that ended before their keys were made.
    pub tls_handshakes_failed: AtomicU64,
    pub net_input_bytes: AtomicU64,
    pub net_output_bytes: AtomicU64,
    pub query_buffer_disconnections: AtomicU64,
    pub output_buffer_disconnections: AtomicU64,
    pub error_replies: AtomicU64,
    pub reads_processed: AtomicU64,
    pub writes_processed: AtomicU64,
    /// What the store had counted of keys at the last CONFIG RESETSTAT.
    pub keys_before: Mutex<KeyCounts>,
    pub authentications_failed: AtomicU64,
    pub certificates_denied: AtomicU64,
    pub commands_denied: AtomicU64,
    pub keys_denied: AtomicU64,
    pub channels_denied: AtomicU64,
    /// Messages that were published here or came from the primary, and how often they were handed to who listens here.
    pub messages_published: AtomicU64,
    pub messages_delivered: AtomicU64,
    /// Commands a second, from one look at the counters to the next.
    pub ops_per_second: AtomicU64,
    /// Bytes a second.
    pub input_per_second: AtomicU64,
    pub output_per_second: AtomicU64,
    /// By code, and by the place in the table of the command that ended so; none where the request named no command.
    errors: Mutex<BTreeMap<(&'static str, Option<usize>), u64>>,
    commands: Vec<CommandMetrics>,
}

/// The counters of one command.
#[derive(Debug, Default)]
struct CommandMetrics {
    /// Calls that ended well. Each call is counted in this or in `failed`, once and for all: neither ever goes back.
    ok: AtomicU64,
    usec: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    /// Made at the first call: most commands are never called.
    latency_us: Mutex<Option<Measured>>,
}

/// A command that ran.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// Where it stands in the table.
    pub index: usize,
    /// From the request being framed to its reply being ready, microseconds.
    pub took_us: u64,
    /// What it ended in, if in an error.
    pub error: Option<ErrorCode>,
}

/// One command's counters, read at one time.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct CommandFigures {
    pub name: &'static str,
    /// Those that ended well and those that failed.
    pub calls: u64,
    pub ok: u64,
    pub usec: u64,
    pub rejected: u64,
    pub failed: u64,
    /// The percentiles that were asked for, microseconds; from the request being framed to its reply being ready. None where no
    /// call was timed.
    pub percentiles_us: Option<Vec<u64>>,
}

/// What a store counts of keys, as INFO shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Deleted since they had expired.
    pub expired: u64,
    /// Looked for to be read, and there.
    pub hits: u64,
    /// Looked for to be read, and not there.
    pub misses: u64,
}

impl KeyCounts {
    /// Those of a store.
    pub fn of(stats: &Stats) -> KeyCounts {
        KeyCounts { expired: stats.keys_expired, hits: stats.key_hits, misses: stats.key_misses }
    }

    /// Those since these.
    pub fn since(self, before: KeyCounts) -> KeyCounts {
        KeyCounts {
            expired: self.expired.saturating_sub(before.expired),
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            commands_processed: AtomicU64::new(0),
            connections_received: AtomicU64::new(0),
            connections_rejected: AtomicU64::new(0),
            tls_handshakes_failed: AtomicU64::new(0),
            net_input_bytes: AtomicU64::new(0),
            net_output_bytes: AtomicU64::new(0),
            query_buffer_disconnections: AtomicU64::new(0),
            output_buffer_disconnections: AtomicU64::new(0),
            error_replies: AtomicU64::new(0),
            reads_processed: AtomicU64::new(0),
            writes_processed: AtomicU64::new(0),
            authentications_failed: AtomicU64::new(0),
            certificates_denied: AtomicU64::new(0),
            commands_denied: AtomicU64::new(0),
            keys_denied: AtomicU64::new(0),
            channels_denied: AtomicU64::new(0),
            messages_published: AtomicU64::new(0),
            messages_delivered: AtomicU64::new(0),
            keys_before: Mutex::default(),
            ops_per_second: AtomicU64::new(0),
            input_per_second: AtomicU64::new(0),
            output_per_second: AtomicU64::new(0),
            errors: Mutex::default(),
            commands: entries().iter().map(|_| CommandMetrics::default()).collect(),
        }
    }
}

impl Metrics {
    /// Counts commands that ran, `timed` also how long they took. Taken in runs, since all connections count in the same places.
    pub fn ran(&self, commands: &mut Vec<Ran>, timed: bool) {
        self.commands_processed.fetch_add(commands.len() as u64, Relaxed);
        for run in commands.chunk_by(|a, b| a.index == b.index) {
            let Some(command) = run.first().and_then(|ran| self.commands.get(ran.index)) else { continue };
            let failed = run.iter().filter(|ran| ran.error.is_some()).count();
            command.ok.fetch_add((run.len() - failed) as u64, Relaxed);
            command.failed.fetch_add(failed as u64, Relaxed);
            command.usec.fetch_add(run.iter().map(|ran| ran.took_us).sum(), Relaxed);
            if !timed {
                continue;
            }
            let mut latency = command.latency_us.lock();
            let measured = latency.get_or_insert_with(|| Measured::up_to(LATENCY_MAX_US));
            run.iter().for_each(|ran| measured.note(ran.took_us));
        }
        for ran in commands.drain(..) {
            if let Some(code) = ran.error {
                self.error(Some(ran.index), code);
            }
        }
    }

    /// A request was turned away at a gate.
    pub fn rejected(&self, entry: Option<&Entry>, code: ErrorCode) {
        if let Some(command) = entry.and_then(|entry| self.commands.get(entry.index)) {
            command.rejected.fetch_add(1, Relaxed);
        }
        self.error(entry.map(|entry| entry.index), code);
    }

    fn error(&self, command: Option<usize>, code: ErrorCode) {
        self.error_replies.fetch_add(1, Relaxed);
        *self.errors.lock().entry((code.as_str(), command)).or_default() += 1;
    }

    /// Error replies by their code.
    pub fn errors(&self) -> Vec<(&'static str, u64)> {
        let mut by_code: Vec<(&'static str, u64)> = Vec::new();
        for ((code, _), count) in self.errors.lock().iter() {
            match by_code.last_mut().filter(|(last, _)| last == code) {
                Some((_, sum)) => *sum += count,
                None => by_code.push((*code, *count)),
            }
        }
        by_code
    }

    /// The same by command as well: its name, empty where a request named none, the code, and how many.
    pub fn command_errors(&self) -> Vec<(&'static str, &'static str, u64)> {
        let name =
            |index: Option<usize>| index.and_then(|at| entries().get(at)).map_or("", |entry| entry.name.as_str());
        self.errors.lock().iter().map(|((code, index), count)| (name(*index), *code, *count)).collect()
    }

    /// The commands that were called or turned away.
    pub fn commands(&self, percentiles: &[f64]) -> Vec<CommandFigures> {
        let told = |command: &CommandMetrics| {
            // Whoever answers a command waits for this lock, so it is not taken for nothing.
            let latency = (!percentiles.is_empty()).then(|| command.latency_us.lock())?;
            latency.as_ref().map(|latency| percentiles.iter().map(|at| latency.percentile(*at)).collect())
        };
        let figures = entries().iter().zip(&self.commands).map(|(entry, command)| {
            let (ok, failed) = (command.ok.load(Relaxed), command.failed.load(Relaxed));
            CommandFigures {
                name: &entry.name,
                calls: ok + failed,
                ok,
                usec: command.usec.load(Relaxed),
                rejected: command.rejected.load(Relaxed),
                failed,
                percentiles_us: told(command),
            }
        });
        figures.filter(|figures| figures.calls + figures.rejected > 0).collect()
    }

    /// How long the calls of a command took, by its place in the table; none where it was not called.
    pub fn latencies(&self, index: usize) -> Option<Latencies> {
        let latency = self.commands.get(index)?.latency_us.lock();
        let measured = latency.as_ref()?;
        let (calls, mut cumulative, mut before) = (measured.count(), Vec::new(), 0);
        for doubled in 0.. {
            if before == calls {
                break;
            }
            // Redis counts in nanoseconds: these are its buckets, of 1024 ns and doubled each time, in microseconds.
            let most_us = ((1032_u64 << doubled) - 1) / 1000;
            // Whatever is longer than can be told apart is in the last.
            let count = measured.at_most(most_us);
            if count > before {
                cumulative.push((most_us, count));
            }
            before = count;
        }
        Some(Latencies { calls, cumulative })
    }

    /// How long the calls of each command took, microseconds, of those that were timed.
    pub fn timed(&self) -> Vec<(&'static str, Measured)> {
        let one = |(entry, command): (&'static Entry, &CommandMetrics)| {
            // Copied, so that nobody who answers a command waits for who reads it.
            let measured = command.latency_us.lock().clone()?;
            Some((entry.name.as_str(), measured))
        };
        entries().iter().zip(&self.commands).filter_map(one).collect()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for counter in [
            &self.commands_processed,
            &self.connections_received,
            &self.connections_rejected,
            &self.tls_handshakes_failed,
            &self.net_input_bytes,
            &self.net_output_bytes,
            &self.query_buffer_disconnections,
            &self.output_buffer_disconnections,
            &self.error_replies,
            &self.reads_processed,
            &self.writes_processed,
            &self.authentications_failed,
            &self.certificates_denied,
            &self.commands_denied,
            &self.keys_denied,
            &self.channels_denied,
            &self.messages_published,
            &self.messages_delivered,
        ] {
            counter.store(0, Relaxed);
        }
        self.errors.lock().clear();
        for command in &self.commands {
            for counter in [&command.ok, &command.usec, &command.rejected, &command.failed] {
                counter.store(0, Relaxed);
            }
            *command.latency_us.lock() = None;
        }
    }
}

/// What a counter that grew by so much in this time grew by in a second.
pub(crate) fn per_second(grown: u64, time: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (grown as f64 / seconds).round() as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_that_passed() {
        assert_eq!(per_second(1500, Duration::from_millis(1500)), 1000);
        assert_eq!(per_second(5, Duration::ZERO), 0);
    }

    #[test]
    fn latencies_are_in_the_buckets_of_redis() {
        let metrics = Metrics::default();
        assert_eq!(metrics.latencies(0), None);
        let mut ran: Vec<Ran> =
            [0, 3, 30, 33, 100, 90_000_000].map(|took_us| Ran { index: 0, took_us, error: None }).to_vec();
        metrics.ran(&mut ran, true);
        let latencies = metrics.latencies(0).unwrap();
        assert_eq!(latencies.calls, 6);
        assert_eq!(latencies.cumulative, [(1, 1), (4, 2), (33, 4), (132, 5), (69_256_347, 6)]);
    }

    /// What Prometheus takes for a restart where it goes back.
    #[test]
    fn what_ended_well_never_goes_back() {
        let metrics = Metrics::default();
        let failing = Ran { index: 0, took_us: 1, error: Some(ErrorCode::Err) };
        std::thread::scope(|scope| {
            let counting = scope.spawn(|| (0..20_000).for_each(|_| metrics.ran(&mut vec![failing; 3], false)));
            while !counting.is_finished() {
                for figures in metrics.commands(&[]) {
                    assert_eq!((figures.ok, figures.calls), (0, figures.failed));
                }
            }
        });
        assert_eq!(metrics.commands(&[]).first().map(|figures| figures.failed), Some(60_000));
    }

    #[test]
    fn errors_are_counted_by_code_and_by_command() {
        let metrics = Metrics::default();
        let mut ran: Vec<Ran> = [(0, ErrorCode::Err), (1, ErrorCode::Err), (1, ErrorCode::DupKey), (1, ErrorCode::Err)]
            .map(|(index, code)| Ran { index, took_us: 1, error: Some(code) })
            .to_vec();
        metrics.ran(&mut ran, true);
        metrics.rejected(None, ErrorCode::Err);
        assert_eq!(metrics.errors(), [("DUPKEY", 1), ("ERR", 4)]);
        let names: Vec<&str> = entries().iter().take(2).map(|entry| entry.name.as_str()).collect();
        let expected = [(names[1], "DUPKEY", 1), ("", "ERR", 1), (names[0], "ERR", 1), (names[1], "ERR", 2)];
        assert_eq!(metrics.command_errors(), expected);
        metrics.reset();
        assert_eq!(metrics.command_errors(), []);
    }
}
