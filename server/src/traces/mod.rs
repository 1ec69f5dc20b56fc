//! Traces: what requests took and where their time went, for an OpenTelemetry collector (`trace-endpoint`).
//!
//! Owns which requests are traced, and how many spans there are on their way. Spans are made when a request has been answered, from
//! times that were noted on its way: what is not traced costs a look at the clock here and there, and how long it took can decide that
//! it is. [`export`] sends them, [`stages`] says where time goes.
//!
//! Invariant: nobody who is answered waits for a collector. What it does not take in time is counted and forgotten.

mod export;
pub mod stages;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use hyper::Uri;
use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits};

use crate::config::Secret;
pub(crate) use export::{Figures, endpoint, headers};
use stages::{Stage, Stages};

/// The settings `trace-*`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    /// Empty: nothing is traced.
    pub endpoint: String,
    pub ca_cert_file: PathBuf,
    pub headers: Secret,
    pub queue: usize,
    /// From 0 to 1.
    pub sample: f64,
    pub slow: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            endpoint: String::new(),
            ca_cert_file: PathBuf::new(),
            headers: Secret::default(),
            queue: 8192,
            sample: 0.01,
            slow: true,
        }
    }
}

/// Bytes of a `tracestate` that are taken over; a longer one is left out, as W3C's Trace Context allows.
const STATE_BYTES_MAX: usize = 512;
/// How long a stop waits for the last spans to be taken.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where spans go, if anywhere.
#[derive(Debug, Default)]
pub struct Traces(Option<On>);

#[derive(Debug)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    figures: Figures,
}

/// A request that was answered, and is to be traced.
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) came: Instant,
    /// The trace that the client does it for.
    pub(crate) parent: Option<Box<SpanContext>>,
    pub(crate) attributes: Vec<KeyValue>,
    /// The code of the error that it ended in.
    pub(crate) error: Option<&'static str>,
    pub(crate) stages: Vec<Stage>,
}

impl Traces {
    /// Begins, where `trace-endpoint` says where to; within the runtime that sends. `instance` tells this server from others.
    ///
    /// # Errors
    /// What of the settings cannot be used.
    pub(crate) fn start(settings: &Settings, instance: &str) -> Result<Traces, String> {
        if settings.endpoint.is_empty() {
            return Ok(Traces(None));
        }
        let figures = Figures::new(settings.queue);
        let processor = export::start(settings, &figures)?;
        // What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before what is said here.
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "veddb"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .with_detector(Box::new(EnvResourceDetector::new()));
        let resource = match std::env::var("OTEL_SERVICE_NAME") {
            Ok(name) if !name.is_empty() => resource.with_service_name(name),
            _ => resource,
        };
        let resource = resource.build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            // What comes this far is wanted, and bounded.
            .with_sampler(Sampler::AlwaysOn)
            .with_span_limits(SpanLimits::default())
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("veddb");
        // Some collectors have a password in the path.
        let collector = settings.endpoint.parse::<Uri>().ok();
        let collector = collector.as_ref().and_then(Uri::authority).map_or("", |authority| authority.as_str());
        tracing::info!(collector, sample = settings.sample, "requests are traced");
        Ok(Traces(Some(On { provider, tracer, figures })))
    }

    /// Whether anything is traced.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How many spans went where; none where nothing is traced.
    pub(crate) fn figures(&self) -> Option<&Figures> {
        self.0.as_ref().map(|on| &on.figures)
    }

    /// Where a request that begins now notes what its time goes to.
    pub(crate) fn stages(&self) -> Stages {
        if self.is_on() { Stages::kept() } else { Stages::default() }
    }

    /// Whether a request is traced: if its client's trace is, else one in so many; and where `trace-slow` says so each that is in
    /// SLOWLOG.
    pub(crate) fn wants(&self, settings: &Settings, parent: Option<&SpanContext>, is_slow: bool) -> bool {
        if !self.is_on() {
            return false;
        }
        let chosen = match parent {
            Some(parent) => parent.is_sampled(),
            None => settings.sample > 0.0 && rand::random::<f64>() < settings.sample,
        };
        chosen || (is_slow && settings.slow)
    }

    /// Has the spans of a request sent, which ended now; the number of its trace, 32 hexadecimal digits. None where there is no room for
    /// all of them.
    pub(crate) fn tell(&self, told: Told) -> Option<String> {
        let on = self.0.as_ref()?;
        if !on.figures.enter(1 + told.stages.len()) {
            return None;
        }
        let (now, clock) = (Instant::now(), SystemTime::now());
        let at = |instant: Instant| clock.checked_sub(now.saturating_duration_since(instant)).unwrap_or(clock);
        let above = match told.parent {
            Some(parent) => Context::new().with_remote_span_context(*parent),
            None => Context::new(),
        };
        let builder = SpanBuilder::from_name(told.name)
            .with_kind(SpanKind::Server)
            .with_start_time(at(told.came))
            .with_attributes(told.attributes);
        let mut span = on.tracer.build_with_context(builder, &above);
        let own = span.span_context().clone();
        let within = Context::new().with_remote_span_context(SpanContext::new(
            own.trace_id(),
            own.span_id(),
            own.trace_flags(),
            false,
            // The span above has it.
            TraceState::default(),
        ));
        for Stage { name, from, to, units } in told.stages {
            let units = units.map(|units| KeyValue::new("veddb.commit.units", i64::from(units)));
            let builder = SpanBuilder::from_name(name).with_start_time(at(from)).with_attributes(units);
            on.tracer.build_with_context(builder, &within).end_with_timestamp(at(to));
        }
        if let Some(code) = told.error {
            span.set_attribute(KeyValue::new("error.type", code));
            // Its message may say what is in a document.
            span.set_status(Status::error(code));
        }
        span.end_with_timestamp(clock);
        // After a stop has begun there is none.
        own.is_valid().then(|| own.trace_id().to_string())
    }

    /// Sends what there is yet, as far as it is taken soon. Blocks; to be called outside the runtime's workers.
    pub fn close(&self) {
        if let Some(on) = &self.0
            && let Err(error) = on.provider.shutdown_with_timeout(FAREWELL)
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Reads what a client says of the trace that it asks for: `traceparent` and `tracestate` as W3C's Trace Context (level 1, 3.2 and 3.3) has
/// them. A state that is none, or is longer than 512 bytes, is left out.
pub(crate) fn parent(traceparent: &[u8], tracestate: Option<&[u8]>) -> Option<SpanContext> {
    const LENGTH: usize = 55;
    let (known, rest) = traceparent.split_at_checked(LENGTH)?;
    let known = std::str::from_utf8(known).ok()?;
    let parts: Vec<&str> = known.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else { return None };
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !(is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2)) || *version == "ff" {
        return None;
    }
    // Later versions may have more to say, behind another hyphen.
    let may_follow = *version != "00" && rest.first() == Some(&b'-');
    if !rest.is_empty() && !may_follow {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = tracestate
        .filter(|state| state.len() <= STATE_BYTES_MAX && state.iter().all(|byte| matches!(byte, b' '..=b'~')));
    let state =
        state.and_then(|state| std::str::from_utf8(state).ok()).and_then(|state| TraceState::from_str(state).ok());
    let ids = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let parent = SpanContext::new(ids.0, ids.1, flags, true, state.unwrap_or_default());
    parent.is_valid().then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_is_named_as_in_its_header() {
        let read = parent(PARENT.as_bytes(), Some(b"a=1,b=2")).unwrap();
        assert_eq!(read.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((read.span_id().to_string().as_str(), read.is_sampled()), ("b7ad6b7169203331", true));
        assert_eq!(read.trace_state().header(), "a=1,b=2");
        let reads = |text: &str| parent(text.as_bytes(), None);
        assert!(!reads(&PARENT.replace("-01", "-00")).unwrap().is_sampled());
        assert!(reads(&PARENT.replace("-01", "-03")).unwrap().is_sampled());
        // A later version may have more to say.
        let later = format!("cc{}", &PARENT[2..]);
        assert!(reads(&later).is_some() && reads(&format!("{later}-more")).is_some());
        for wrong in [
            String::new(),
            "00".to_owned(),
            "00-1-1-01".to_owned(),
            "-".repeat(1 << 20),
            PARENT.to_uppercase(),
            PARENT.replace('7', "g"),
            PARENT.replace("00-", "ff-"),
            PARENT.replace("-01", "-+1"),
            format!(" {}", &PARENT[1..]),
            format!("{PARENT}-more"),
            format!("{later}more"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01".to_owned(),
        ] {
            assert!(reads(&wrong).is_none(), "{wrong:.80}");
        }
        assert!(parent(&[0xff; 55], None).is_none());
        for none in [&b"no state"[..], b"a=\xff", &[b'a'; 513], b"a=\n"] {
            assert_eq!(parent(PARENT.as_bytes(), Some(none)).unwrap().trace_state().header(), "");
        }
    }

    #[test]
    fn nothing_is_wanted_where_nothing_is_traced() {
        let off = Traces::default();
        let all = Settings { sample: 1.0, ..Settings::default() };
        assert!(!off.wants(&all, parent(PARENT.as_bytes(), None).as_ref(), true));
        assert!(off.figures().is_none() && off.stages().take().is_empty());
    }
}
