//! Spans of traces. What becomes of them where the collector fails is in the suite `traces`.

use anyhow::Result;
use veddb_tests::{Collector, Manner, Options};

use super::watch::{Check, Seen, Watched, run};

pub(crate) const CHECKS: &[Check] = &[Check { of: &["veddb_trace_spans_total"], run: spans }];

#[test]
fn spans_are_read_back() -> Result<()> {
    run(CHECKS)
}

fn spans(seen: &Seen) -> Result<()> {
    let collector = Collector::start(Manner::Take)?;
    let options = Options::new().set("trace-endpoint", collector.endpoint()).set("trace-sample", "0");
    let watched = Watched::start(options.set("trace-slow", "no"))?;
    let mut client = watched.server.client()?;
    let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let before = watched.scrape()?;
    for result in ["exported", "failed", "dropped"] {
        seen.is(&before, "veddb_trace_spans_total", &[("result", result)], 0.0)?;
    }
    // Each is a span, and the write has four within it.
    client.ask(&["CLIENT", "TRACEPARENT", sampled])?;
    client.ask(&["PING"])?;
    client.ask(&["CLIENT", "TRACEPARENT", sampled])?;
    client.ask(&["DOC.SET", "c", "1", "{}"])?;
    client.ask(&["PING"])?;
    seen.comes_to(&watched, "veddb_trace_spans_total", &[("result", "exported")], 6.0, 6.0)?;
    let after = watched.scrape()?;
    seen.is(&after, "veddb_trace_spans_total", &[("result", "failed")], 0.0)?;
    seen.is(&after, "veddb_trace_spans_total", &[("result", "dropped")], 0.0)
}
