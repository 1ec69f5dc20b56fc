//! `/metrics`: the figures of the server in Prometheus's text format.
//!
//! Owns the table of families, each declared once in one of the files beside this one: name, what it says, its labels, and how it is
//! read. Nothing is counted here: a family reads the counter that INFO reads too, or asks for what there is at this moment. The format
//! is the crate `prometheus`'s.
//!
//! Invariant: labels come from tables of the server, but for names of collections and indexes, of which there are no more than the
//! settings say. No figure holds a value of a document, a key, or the name of a user.

mod clients;
mod collections;
mod commands;
mod keys;
mod process;
mod replication;
mod security;
mod store;
mod traces;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tokio::sync::Mutex;
use veddb_storage::{Activity, CollectionHandle, KeyStatus, Measured, Stats, Store, Timings, View};

use crate::client::Client;
use crate::config::Settings;
use crate::execute::now_ms;
use crate::server::Server;

/// What the answer is.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All families, in the order in which they are shown.
const TABLES: [&[Family]; 9] = [
    commands::FAMILIES,
    clients::FAMILIES,
    store::FAMILIES,
    collections::FAMILIES,
    replication::FAMILIES,
    keys::FAMILIES,
    security::FAMILIES,
    traces::FAMILIES,
    process::FAMILIES,
];

/// How a family is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It only grows, but for a restart, another store, and CONFIG RESETSTAT.
    Counter,
    /// As it is now.
    Gauge,
    /// How many were no larger than each of some bounds.
    Histogram,
}

/// How it is read.
enum Read {
    /// Of the process, with these labels: there is no server to be asked while the data are being opened.
    Process(&'static [&'static str], fn(&mut Samples<'_>)),
    /// One figure without labels; none where it cannot be said now.
    One(fn(&Sight<'_>) -> Option<f64>),
    /// Several, with these labels.
    Many(&'static [&'static str], fn(&Sight<'_>, &mut Samples<'_>)),
}

/// A metric and all its labels' values.
struct Family {
    name: &'static str,
    /// One sentence, with the unit where the name has none.
    help: &'static str,
    kind: Kind,
    read: Read,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Sight<'_>) -> Option<f64>) -> Family {
    Family { name, help, kind: Kind::Counter, read: Read::One(read) }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Sight<'_>) -> Option<f64>) -> Family {
    Family { name, help, kind: Kind::Gauge, read: Read::One(read) }
}

const fn of_process(name: &'static str, help: &'static str, read: fn(&mut Samples<'_>)) -> Family {
    Family { name, help, kind: Kind::Gauge, read: Read::Process(&[], read) }
}

const fn many(
    kind: Kind,
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    read: fn(&Sight<'_>, &mut Samples<'_>),
) -> Family {
    Family { name, help, kind, read: Read::Many(labels, read) }
}

/// What families are read from: one moment, as far as there is one.
struct Sight<'s> {
    server: &'s Server,
    settings: Arc<Settings>,
    stats: Stats,
    clients: Vec<Arc<Client>>,
    /// None where it follows nobody.
    link: Option<replication::Followed>,
    /// None while the data are replaced.
    data: Option<Data>,
}

/// The data.
struct Data {
    store: Arc<Store>,
    view: View,
    timings: Timings,
    engine: Activity,
    keys: KeyStatus,
    /// The collections that are shown one by one, with their databases, and how many others there are.
    shown: Vec<(u8, CollectionHandle)>,
    left_off: usize,
}

impl<'s> Sight<'s> {
    /// `before` are the collections that were shown the last time.
    fn of(server: &'s Server, before: &BTreeSet<(u8, String)>) -> Sight<'s> {
        let settings = server.config.load();
        let data = server.store_now().map(|store| {
            let view = store.view(now_ms());
            let (shown, left_off) =
                collections::shown(&view, settings.databases, settings.http.collections_max, before);
            Data {
                timings: store.timings(),
                engine: store.engine_activity(),
                keys: store.data_keys().status(),
                view,
                shown,
                left_off,
                store,
            }
        });
        let link = replication::Followed::of(server);
        Sight { settings, stats: server.stats(), clients: server.clients.list(), link, data, server }
    }
}

/// The figures of one family.
struct Samples<'f> {
    family: &'f Family,
    labels: &'static [&'static str],
    found: Vec<Metric>,
}

impl Samples<'_> {
    /// One, with these values of the family's labels.
    fn put(&mut self, values: &[&str], value: f64) {
        let mut metric = self.labelled(values);
        match self.family.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.found.push(metric);
    }

    /// One of a histogram of times: `measured` in microseconds, with buckets that end at 2^from of them, each power of two after that, up
    /// to 2^to. Times are cut to whole microseconds, so what is below a power of two is what took less than that.
    fn times(&mut self, values: &[&str], measured: &Measured, bounds: (u32, u32)) {
        self.histogram(values, measured, bounds, MICROSECONDS, |power| power as f64 / MICROSECONDS);
    }

    /// The same of whole numbers: a bucket has those that are no larger than it says, the last below the power of two.
    fn numbers(&mut self, values: &[&str], measured: &Measured, bounds: (u32, u32)) {
        self.histogram(values, measured, bounds, 1.0, |power| (power - 1) as f64);
    }

    /// So many of the units of `measured` are one of the figure's; a bucket of what is below a power of two is called `bound` of it.
    fn histogram(
        &mut self,
        values: &[&str],
        measured: &Measured,
        (from, to): (u32, u32),
        units: f64,
        bound: fn(u64) -> f64,
    ) {
        let mut metric = self.labelled(values);
        let mut histogram = Histogram::default();
        let buckets = (from..=to).map(|shift| {
            let power = 1_u64 << shift;
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(measured.at_most(power - 1));
            bucket.set_upper_bound(bound(power));
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(measured.count());
        histogram.set_sample_sum(measured.sum() as f64 / units);
        metric.set_histogram(histogram);
        self.found.push(metric);
    }

    fn labelled(&self, values: &[&str]) -> Metric {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.family.name);
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        Metric::from_label(self.labels.iter().zip(values).map(pair).collect())
    }
}

/// So many are a second.
const MICROSECONDS: f64 = 1e6;

impl Family {
    fn labels(&self) -> &'static [&'static str] {
        match self.read {
            Read::One(_) => &[],
            Read::Process(labels, _) | Read::Many(labels, _) => labels,
        }
    }

    /// None where there is no figure now: the format has no place for a family without any. Without a sight there is no server yet.
    fn gather(&self, sight: Option<&Sight<'_>>) -> Option<MetricFamily> {
        let mut samples = Samples { family: self, labels: self.labels(), found: Vec::new() };
        match (&self.read, sight) {
            (Read::Process(_, read), _) => read(&mut samples),
            (Read::One(read), Some(sight)) => {
                if let Some(value) = read(sight) {
                    samples.put(&[], value);
                }
            }
            (Read::Many(_, read), Some(sight)) => read(sight, &mut samples),
            (Read::One(_), None) if self.name == replication::IS_LOADING => samples.put(&[], 1.0),
            (Read::One(_) | Read::Many(..), None) => {}
        }
        if samples.found.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(samples.found);
        Some(family)
    }
}

/// How long the figures are left alone after they were read, however many ask for them.
const INTERVAL: Duration = Duration::from_millis(200);

/// Who reads the figures: one at a time, whoever asks meanwhile is given what was read after it had asked.
#[derive(Debug, Default)]
pub(crate) struct Scrapes(Arc<Mutex<Last>>);

/// The last reading.
#[derive(Debug, Default)]
struct Last {
    reading: Option<Reading>,
    /// The collections that it showed.
    shown: BTreeSet<(u8, String)>,
}

#[derive(Debug, Clone)]
struct Reading {
    began: Instant,
    ended: Instant,
    text: Bytes,
}

/// The figures as they are after this was asked for; those of the process alone where there is no server yet.
///
/// # Errors
/// What cannot be shown.
pub(crate) async fn text(scrapes: &Scrapes, server: Option<Arc<Server>>) -> Result<Bytes, String> {
    let asked = Instant::now();
    let mut last = Arc::clone(&scrapes.0).lock_owned().await;
    if let Some(reading) = &last.reading {
        if reading.began >= asked {
            return Ok(reading.text.clone());
        }
        // Waited for rather than answered with what is old: nobody is told of a moment before its question.
        tokio::time::sleep_until((reading.ended + INTERVAL).into()).await;
    }
    // It reads directories, and pages that may not be in memory. The thread keeps the lock, also when nobody waits for it any more: however
    // many come and go, one thread is at it.
    let read = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let text = Bytes::from(gather(server.as_deref(), &mut last.shown)?);
        last.reading = Some(Reading { began, ended: Instant::now(), text: text.clone() });
        Ok(text)
    });
    read.await.map_err(|error| error.to_string())?
}

fn gather(server: Option<&Server>, shown: &mut BTreeSet<(u8, String)>) -> Result<String, String> {
    let sight = server.map(|server| Sight::of(server, shown));
    let all = TABLES.into_iter().flatten();
    let families: Vec<MetricFamily> = all.filter_map(|family| family.gather(sight.as_ref())).collect();
    if let Some(data) = sight.and_then(|sight| sight.data) {
        *shown = data.shown.iter().map(|(db, collection)| (*db, collection.name().to_owned())).collect();
    }
    TextEncoder::new().encode_to_string(&families).map_err(|error| error.to_string())
}

/// The reference, as Markdown: what `veddb docs metrics` prints.
pub fn reference() -> String {
    let mut text = REFERENCE_HEAD.to_owned();
    for family in TABLES.into_iter().flatten() {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = family.labels().join(", ");
        text.push_str(&format!("| `{}` | {kind} | {labels} | {} |\n", family.name, family.help));
    }
    text
}

const REFERENCE_HEAD: &str = "\
# Metrics

What `/metrics` on `http-port` shows. This file is made from the table in `server/src/scrape/`; `UPDATE=1` has a test write it anew. How to
have it read and watched is in [operations.md](operations.md). All counters begin again at a start, and those of the store (commits, the log,
checkpoints, caches, the engine, what has expired, hits of indexes) when a replica's data are replaced. `CONFIG RESETSTAT` takes these back to 0
and no others: commands, their errors and durations, connections received, rejected and cut off, handshakes, bytes of the network, messages and
deliveries, denials. While the data are being opened only the process and `veddb_is_loading` are shown.

| name | kind | labels | |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    /// What `promtool check metrics` asks of names, as far as a table can break it.
    #[test]
    fn names_are_as_prometheus_wants_them() {
        let mut seen = BTreeSet::new();
        for family in TABLES.into_iter().flatten() {
            let (name, kind) = (family.name, family.kind);
            assert!(seen.insert(name), "{name} is declared twice");
            assert!(name.starts_with("veddb_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            for suffix in ["_count", "_sum", "_bucket", "_ms", "_us", "_percent", "_counter", "_gauge", "_histogram"] {
                assert!(!name.ends_with(suffix), "{name}");
            }
            assert!(!family.help.is_empty() && !family.help.ends_with('.'), "{name}: {}", family.help);
            assert!(!family.labels().contains(&"le"), "{name}");
        }
    }

    #[test]
    fn the_reference_is_in_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), reference(), "UPDATE=1 writes it anew");
    }

    /// A bucket has what is no larger than its bound.
    #[test]
    fn buckets_of_numbers_have_their_bounds() {
        let nothing: fn(&Sight<'_>, &mut Samples<'_>) = |_, _| {};
        let family = many(Kind::Histogram, "veddb_a", "Units of a", &[], nothing);
        let mut measured = Measured::up_to(1000);
        [1, 2, 3, 4, 7, 8].into_iter().for_each(|units| measured.note(units));
        let mut samples = Samples { family: &family, labels: family.labels(), found: Vec::new() };
        samples.numbers(&[], &measured, (1, 3));
        let histogram = samples.found[0].get_histogram();
        let buckets = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        assert_eq!(buckets.collect::<Vec<_>>(), [(1.0, 1), (3.0, 3), (7.0, 5)]);
        assert_eq!(histogram.get_sample_sum(), 25.0);
    }

    #[test]
    fn without_a_server_there_is_the_process() {
        let text = gather(None, &mut BTreeSet::new()).unwrap();
        for line in ["veddb_is_loading 1", "veddb_process_threads ", "veddb_build_info{"] {
            assert!(text.lines().any(|one| one.starts_with(line)), "{text}");
        }
        assert!(!text.contains("veddb_connections"), "{text}");
    }

    #[test]
    fn samples_are_shown_in_the_format() {
        let nothing: fn(&Sight<'_>, &mut Samples<'_>) = |_, _| {};
        let family = many(Kind::Histogram, "veddb_a_seconds", "What a takes", &["b"], nothing);
        let mut measured = Measured::up_to(60_000_000);
        [3, 4, 900].into_iter().for_each(|us| measured.note(us));
        let mut samples = Samples { family: &family, labels: family.labels(), found: Vec::new() };
        samples.times(&["x\"y\\z\n"], &measured, (2, 4));
        let mut shown = MetricFamily::default();
        shown.set_name(family.name.to_owned());
        shown.set_help(family.help.to_owned());
        shown.set_field_type(MetricType::HISTOGRAM);
        shown.set_metric(samples.found);
        let text = TextEncoder::new().encode_to_string(&[shown]).unwrap();
        let label = r#"b="x\"y\\z\n""#;
        let expected = [
            "# HELP veddb_a_seconds What a takes".to_owned(),
            "# TYPE veddb_a_seconds histogram".to_owned(),
            format!("veddb_a_seconds_bucket{{{label},le=\"0.000004\"}} 1"),
            format!("veddb_a_seconds_bucket{{{label},le=\"0.000008\"}} 2"),
            format!("veddb_a_seconds_bucket{{{label},le=\"0.000016\"}} 2"),
            format!("veddb_a_seconds_bucket{{{label},le=\"+Inf\"}} 3"),
            format!("veddb_a_seconds_sum{{{label}}} 0.000907"),
            format!("veddb_a_seconds_count{{{label}}} 3"),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
