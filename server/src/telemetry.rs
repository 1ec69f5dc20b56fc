//! Log lines: to standard error or the file of the setting `logfile`, as text or JSON.
//!
//! A line that is written while a request is carried out has its number, as SLOWLOG and its trace have. What is logged never holds a
//! document, a filter or a secret.

use std::cell::Cell;
use std::fmt;
use std::fs::OpenOptions;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::task_local;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{LogFormat, LogLevel, Settings};

/// Changes the level while the server runs.
#[derive(Debug, Clone)]
pub struct LevelHandle(Option<reload::Handle<Targets, Registry>>);

impl LevelHandle {
    /// A handle that changes nothing, for a server within another program.
    pub const NONE: LevelHandle = LevelHandle(None);

    /// Logs at this level from now on.
    pub fn set(&self, level: LogLevel) -> Result<(), String> {
        match &self.0 {
            Some(handle) => handle.reload(filter(level)).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

/// A request's number: its connection's, and when it came, since the start of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// The connection's.
    pub client: u64,
    /// When it came.
    pub came: Duration,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.client, self.came.as_nanos())
    }
}

task_local! {
    /// The request that is being carried out.
    static REQUEST: Cell<Option<RequestId>>;
}

/// Runs a connection, which says by [`set_request`] what it does.
pub(crate) fn requests<F: Future>(connection: F) -> impl Future<Output = F::Output> {
    // No async fn, which would hold the connection's whole state twice.
    REQUEST.scope(Cell::new(None), connection)
}

/// Says which request is carried out from now on. Of a connection's task, or nothing happens.
pub(crate) fn set_request(request: Option<RequestId>) {
    // Elsewhere no lines are of requests.
    let _ = REQUEST.try_with(|current| current.set(request));
}

/// Which it is.
pub(crate) fn request() -> Option<RequestId> {
    REQUEST.try_with(Cell::get).ok().flatten()
}

/// Works for a request on a thread.
pub(crate) fn within<T>(request: Option<RequestId>, work: impl FnOnce() -> T) -> T {
    REQUEST.sync_scope(Cell::new(request), work)
}

/// Lines as they are, with the number of the request in whose course they are written.
struct Numbered<F> {
    format: F,
    json: bool,
}

impl<S, N, F> FormatEvent<S, N> for Numbered<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(request) = request() else { return self.format.format_event(context, writer, event) };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        if self.json
            && let Ok(mut object) = serde_json::from_str::<Value>(&line)
            && let Some(fields) = object.get_mut("fields").and_then(Value::as_object_mut)
        {
            fields.insert("request".to_owned(), Value::String(request.to_string()));
            return writeln!(writer, "{object}");
        }
        writeln!(writer, "{} request={request}", line.trim_end_matches('\n'))
    }
}

/// Begins to log. To be called once.
pub fn start(settings: &Settings) -> std::io::Result<LevelHandle> {
    let to_file = !settings.logfile.as_os_str().is_empty();
    let writer = if to_file {
        BoxMakeWriter::new(Mutex::new(OpenOptions::new().create(true).append(true).open(&settings.logfile)?))
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let (level, handle) = reload::Layer::new(filter(settings.loglevel));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let format = tracing_subscriber::fmt::format().with_target(false);
    let layer = match settings.log_format {
        LogFormat::Text => layer.event_format(Numbered { format, json: false }).boxed(),
        LogFormat::Json => layer.json().event_format(Numbered { format: format.json(), json: true }).boxed(),
    };
    tracing_subscriber::registry().with(level).with(layer).try_init().map_err(std::io::Error::other)?;
    Ok(LevelHandle(Some(handle)))
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    };
    // The key-value engine tells of each of its files at info.
    let engine = if level == LevelFilter::INFO { LevelFilter::WARN } else { level };
    Targets::new().with_default(level).with_target("fjall", engine).with_target("lsm_tree", engine)
}
