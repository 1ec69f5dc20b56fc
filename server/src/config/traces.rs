//! The settings of traces.

use std::path::PathBuf;

use super::Secret;
use super::kind::{boolean, integer, ratio};
use super::table::{Setting, path, put, yes_no};
use crate::traces::{endpoint, headers};

pub(super) const TRACE_CA_CERT_FILE: Setting = Setting::fixed(
    "trace-ca-cert-file",
    "Whose certificates are good of a collector that trace-endpoint reaches by https: PEM, one after the other.",
    |s| path(&s.traces.ca_cert_file),
    |s, v| put(&mut s.traces.ca_cert_file, Ok(PathBuf::from(v))),
);
pub(super) const TRACE_ENDPOINT: Setting = Setting::fixed(
    "trace-endpoint",
    "Where traces are sent, by OTLP over HTTP: http://127.0.0.1:4318 is a collector on this machine, to which /v1/traces is added; empty is nowhere.",
    |s| s.traces.endpoint.clone(),
    |s, v| put(&mut s.traces.endpoint, endpoint(v)),
)
// What is refused may have a password in it.
.secret();
pub(super) const TRACE_HEADERS: Setting = Setting::fixed(
    "trace-headers",
    "Headers that are sent with traces, name=value with commas between: what a collector wants as a password.",
    |s| s.traces.headers.0.clone(),
    |s, v| put(&mut s.traces.headers, headers(v).map(|_| Secret(v.to_owned()))),
)
.secret();
pub(super) const TRACE_QUEUE: Setting = Setting::fixed(
    "trace-queue",
    "Spans that may wait to be sent, for each of which memory is taken at the start; those of requests that find no room are counted and dropped.",
    |s| s.traces.queue.to_string(),
    |s, v| put(&mut s.traces.queue, integer(v, 100..=100_000)),
);
pub(super) const TRACE_SAMPLE: Setting = Setting::live(
    "trace-sample",
    "The share of requests that are traced, from 0 to 1; those of a client's trace (CLIENT TRACEPARENT) are if it is.",
    |s| s.traces.sample.to_string(),
    |s, v| put(&mut s.traces.sample, ratio(v)),
);
pub(super) const TRACE_SLOW: Setting = Setting::live(
    "trace-slow",
    "Whether each request is traced that SLOWLOG keeps.",
    |s| yes_no(s.traces.slow),
    |s, v| put(&mut s.traces.slow, boolean(v)),
);
