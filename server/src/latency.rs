//! Events that took longer than `latency-monitor-threshold`: the longest of each second, as in Redis.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use veddb_commands::figures::{LatencyEvent, Sample};

use crate::execute::now_ms;

/// Samples that are kept of an event.
const SAMPLES_MAX: usize = 160;

/// A command that is not flagged `fast`.
pub(crate) const COMMAND: &str = "command";
/// One that is.
pub(crate) const FAST_COMMAND: &str = "fast-command";
/// A group of writes, from its submission until it is as durable as `appendfsync` says.
pub(crate) const COMMIT: &str = "commit";

/// What took long.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Milliseconds; 0 is off.
    threshold_ms: AtomicU64,
    events: Mutex<BTreeMap<&'static str, Series>>,
}

#[derive(Debug, Default)]
struct Series {
    max_ms: u64,
    samples: VecDeque<Sample>,
}

impl Latency {
    /// Changes from when on an event takes long; 0 is never.
    pub(crate) fn set_threshold_ms(&self, threshold_ms: u64) {
        self.threshold_ms.store(threshold_ms, Relaxed);
    }

    /// Whether that is long.
    pub(crate) fn is_long(&self, took: Duration) -> bool {
        let threshold_ms = self.threshold_ms.load(Relaxed);
        threshold_ms > 0 && took.as_millis() >= u128::from(threshold_ms)
    }

    /// Notes an event if it took long.
    pub(crate) fn note(&self, name: &'static str, took: Duration) {
        if self.is_long(took) {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.add(name, Sample { unix_s: now_ms() / 1000, took_ms });
        }
    }

    fn add(&self, name: &'static str, sample: Sample) {
        let mut events = self.events.lock();
        let series = events.entry(name).or_default();
        series.max_ms = series.max_ms.max(sample.took_ms);
        match series.samples.back_mut() {
            Some(last) if last.unix_s == sample.unix_s => last.took_ms = last.took_ms.max(sample.took_ms),
            _ => series.samples.push_back(sample),
        }
        if series.samples.len() > SAMPLES_MAX {
            series.samples.pop_front();
        }
    }

    /// All events that took long.
    pub(crate) fn events(&self) -> Vec<LatencyEvent> {
        let events = self.events.lock();
        let event = |(name, series): (&&'static str, &Series)| LatencyEvent {
            name,
            max_ms: series.max_ms,
            samples: series.samples.iter().copied().collect(),
        };
        events.iter().map(event).collect()
    }

    /// Forgets an event, or all; how many that are.
    pub(crate) fn forget(&self, name: Option<&[u8]>) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|known, _| name.is_some_and(|name| name != known.as_bytes()));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_each_second_is_kept() {
        let latency = Latency::default();
        latency.note(COMMAND, Duration::from_secs(5));
        assert_eq!(latency.events(), [], "it is off");
        for (unix_s, took_ms) in [(1, 20), (1, 50), (1, 30), (2, 10)] {
            latency.add(COMMAND, Sample { unix_s, took_ms });
        }
        let samples = vec![Sample { unix_s: 1, took_ms: 50 }, Sample { unix_s: 2, took_ms: 10 }];
        assert_eq!(latency.events(), [LatencyEvent { name: COMMAND, max_ms: 50, samples }]);
        (3..400).for_each(|unix_s| latency.add(COMMAND, Sample { unix_s, took_ms: 1 }));
        assert_eq!(latency.events().first().map(|event| event.samples.len()), Some(SAMPLES_MAX));
        assert_eq!((latency.forget(Some(b"nope")), latency.forget(None)), (0, 1));
    }

    #[test]
    fn what_is_below_the_threshold_is_not_noted() {
        let latency = Latency::default();
        latency.set_threshold_ms(100);
        latency.note(COMMIT, Duration::from_millis(99));
        assert_eq!(latency.events().len(), 0);
        latency.note(COMMIT, Duration::from_millis(100));
        assert_eq!(latency.events().len(), 1);
    }
}
