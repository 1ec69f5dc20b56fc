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

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tokio::sync::Mutex;
use veddb_storage::{CollectionHandle, Measured, Stats, Store, Timings, View};

use crate::client::Client;
use crate::config::Settings;
use crate::execute::now_ms;
use crate::server::Server;

/// What the answer is.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All families, in the order in which they are shown.
const TABLES: [&[Family]; 8] = [
    commands::FAMILIES,
    clients::FAMILIES,
    store::FAMILIES,
    collections::FAMILIES,
    replication::FAMILIES,
    keys::FAMILIES,
    security::FAMILIES,
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
    /// None while the data are replaced.
    data: Option<Data>,
}

/// The data.
struct Data {
    store: Arc<Store>,
    view: View,
    timings: Timings,
    /// The collections that are shown one by one, with their databases, and how many others there are.
    shown: Vec<(u8, CollectionHandle)>,
    left_off: usize,
}

impl<'s> Sight<'s> {
    fn of(server: &'s Server) -> Sight<'s> {
        let settings = server.config.load();
        let data = server.store_now().map(|store| {
            let view = store.view(now_ms());
            let (shown, left_off) = collections::shown(&view, settings.databases, settings.http.collections_max);
            Data { timings: store.timings(), view, shown, left_off, store }
        });
        Sight { settings, stats: server.stats(), clients: server.clients.list(), data, server }
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

    /// One of a histogram: `measured`, with buckets that end below 2^from, each power of two after that, up to 2^to; so many of its units
    /// are one of the figure's.
    fn measured(&mut self, values: &[&str], measured: &Measured, (from, to): (u32, u32), units: f64) {
        let mut metric = self.labelled(values);
        let mut histogram = Histogram::default();
        let buckets = (from..=to).map(|shift| {
            let mut bucket = Bucket::default();
            // What is measured is cut to whole units, so what is below a power of two is what was less than that.
            bucket.set_cumulative_count(measured.at_most((1_u64 << shift) - 1));
            bucket.set_upper_bound((1_u64 << shift) as f64 / units);
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
            Read::Many(labels, _) => labels,
        }
    }

    /// None where there is no figure now: the format has no place for a family without any.
    fn gather(&self, sight: &Sight<'_>) -> Option<MetricFamily> {
        let mut samples = Samples { family: self, labels: self.labels(), found: Vec::new() };
        match self.read {
            Read::One(read) => {
                if let Some(value) = read(sight) {
                    samples.put(&[], value);
                }
            }
            Read::Many(_, read) => read(sight, &mut samples),
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

/// Who reads the figures: one at a time, whoever asks meanwhile is given what was read after it had asked.
#[derive(Debug, Default)]
pub struct Scrapes(Arc<Mutex<Option<(Instant, Bytes)>>>);

/// The figures as they are after this was asked for.
///
/// # Errors
/// What cannot be shown.
pub(crate) async fn text(server: &Arc<Server>) -> Result<Bytes, String> {
    let asked = Instant::now();
    let mut last = Arc::clone(&server.scrapes.0).lock_owned().await;
    if let Some((began, text)) = &*last
        && *began >= asked
    {
        return Ok(text.clone());
    }
    let server = Arc::clone(server);
    // It reads directories, and pages that may not be in memory. The thread keeps the lock, also when nobody waits for it any more: however
    // many come and go, one thread is at it.
    let read = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let text = Bytes::from(gather(&server)?);
        *last = Some((began, text.clone()));
        Ok(text)
    });
    read.await.map_err(|error| error.to_string())?
}

fn gather(server: &Server) -> Result<String, String> {
    let sight = Sight::of(server);
    let families: Vec<MetricFamily> = TABLES.into_iter().flatten().filter_map(|family| family.gather(&sight)).collect();
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
have it read and watched is in [operations.md](operations.md). Counters begin again at a start, when a replica's data are replaced, and
those that INFO shows too at `CONFIG RESETSTAT`.

| name | kind | labels | |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

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

    #[test]
    fn samples_are_shown_in_the_format() {
        let nothing: fn(&Sight<'_>, &mut Samples<'_>) = |_, _| {};
        let family = many(Kind::Histogram, "veddb_a_seconds", "What a takes", &["b"], nothing);
        let mut measured = Measured::up_to(60_000_000);
        [3, 4, 900].into_iter().for_each(|us| measured.note(us));
        let mut samples = Samples { family: &family, labels: family.labels(), found: Vec::new() };
        samples.measured(&["x\"y\\z\n"], &measured, (2, 4), MICROSECONDS);
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
