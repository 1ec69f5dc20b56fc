//! Log lines: to standard error or the file of the setting `logfile`, as text or JSON.
//!
//! What is logged never holds a document, a filter or a secret.

use std::fs::OpenOptions;
use std::sync::Mutex;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

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

/// Begins to log. To be called once.
pub fn start(settings: &Settings) -> std::io::Result<LevelHandle> {
    let to_file = !settings.logfile.as_os_str().is_empty();
    let writer = if to_file {
        BoxMakeWriter::new(Mutex::new(OpenOptions::new().create(true).append(true).open(&settings.logfile)?))
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let (level, handle) = reload::Layer::new(filter(settings.loglevel));
    let layer = fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
    let layer = match settings.log_format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().boxed(),
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
