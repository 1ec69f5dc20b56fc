//! Figures of traces: what became of their spans.

use super::{Family, Kind, many};

pub(super) const FAMILIES: &[Family] = &[many(
    Kind::Counter,
    "veddb_trace_spans_total",
    "Spans of traces (trace-endpoint), by what became of them: exported, failed (the collector did not take them), dropped (trace-queue was full)",
    &["result"],
    |s, out| {
        let sent = s.server.traces.figures().map(|figures| figures.sent());
        sent.into_iter().flatten().for_each(|(result, spans)| out.put(&[result], spans as f64));
    },
)];
