//! The program `veddb`: reads the command line, starts the server, stops it in order.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use veddb_commands::session::Shutdown;
use veddb_server::acl::{self, Acl};
use veddb_server::config::{Config, file, table::SETTINGS};
use veddb_server::tls::Tls;
use veddb_server::{Server, audit, changes, data, http, listener, notify, processor, scrape, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
VedDB, an encrypted, durable JSON document database that speaks RESP

usage:
  veddb [server] [FILE|-] [--SETTING VALUE ...]   serve (the default)
  veddb key status [--watch] [--host H] [--port P]
                                                  how far a server's rotation of its key is
  veddb rollback show FILE [--SETTING VALUE ...]
                                                  print what a file in <dir>/rollback has, as JSON lines
  veddb docs [commands|language|metrics]          print a reference as Markdown
  veddb --version
  veddb --help

FILE is in redis.conf syntax; - reads it from standard input; flags win over it.

settings:
";

fn main() -> ExitCode {
    let missing = processor::missing();
    if !missing.is_empty() {
        complain(&format!(
            "veddb is built for processors of the level x86-64-v3 (2013 and later); this one lacks: {}.\nBuild it \
             with RUSTFLAGS=\"-C target-cpu=native\" on this machine instead.",
            missing.join(" ")
        ));
        return ExitCode::FAILURE;
    }
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> anyhow::Result<()> {
    match arguments.first().map(String::as_str) {
        Some("--version" | "-v") => say(&format!("VedDB {}\n", env!("CARGO_PKG_VERSION"))),
        Some("--help" | "-h") => say(&help()),
        Some("key") => match veddb_server::key_status::run(arguments.get(1..).unwrap_or_default())? {
            true => Ok(()),
            false => anyhow::bail!("the rotation has failed"),
        },
        Some("rollback") => veddb_server::rollback::run(arguments.get(1..).unwrap_or_default()),
        Some("docs") => match arguments.get(1).map(String::as_str) {
            None | Some("commands") => say(&veddb_commands::reference::render()),
            Some("language") => say(&veddb_commands::language::render()),
            Some("metrics") => say(&scrape::reference()),
            Some(other) => anyhow::bail!("no reference {other}: it is commands, language or metrics"),
        },
        first => {
            if first == Some("server") {
                arguments.remove(0);
            }
            serve(&arguments)
        }
    }
}

/// A panic in a thread of the store leaves memory and disk apart, so it ends the process, and the next start recovers.
/// Anywhere else it ends one command or one connection; while files that may be damaged are opened it is an error
/// that the start reports.
fn abort_when_the_store_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread.name() == Some(veddb_storage::OPENING_THREAD) {
            return;
        }
        report(panic);
        if thread.name().is_some_and(|name| STORE_THREADS.contains(&name)) {
            std::process::abort();
        }
    }));
}

/// What a thread's stack may take. A pipeline of 2000 stages, each of which pulls at the one before it, takes about half of
/// this in a debug build; what is not used is no memory.
const STACK_BYTES: usize = 16 << 20;

/// How long the last records of the audit log are waited for when the server stops.
const AUDIT_PATIENCE: Duration = Duration::from_secs(5);
/// The names that [`veddb_storage::Store`] gives its threads.
const STORE_THREADS: [&str; 3] = ["veddb-commit", "veddb-checkpoint", "veddb-fsync"];

/// Keeps the process's memory, and the keys in it, out of files. Where that is not permitted it is said.
fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        complain(&format!("core dumps cannot be turned off: {error}"));
    }
}

fn serve(arguments: &[String]) -> anyhow::Result<()> {
    forbid_core_dumps();
    abort_when_the_store_panics();
    let loaded = file::load(arguments)?;
    let settings = loaded.settings.clone();
    let log_level = telemetry::start(&settings).context("cannot begin to log")?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Long reads, hashing of passwords, and a few threads for whatever else blocks: CONFIG REWRITE, the store's close.
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(settings.io_threads + changes::READERS + 4 + acl::HASHING_MAX)
        .thread_name("veddb");
    let runtime = runtime.thread_stack_size(STACK_BYTES).build();
    let runtime = runtime.context("cannot start the runtime")?;
    let stopped = runtime.block_on(async {
        tracing::info!("VedDB {} starting, PID: {} ", env!("CARGO_PKG_VERSION"), std::process::id());
        // Before anything listens: whoever can reach the server can also ask it to stop.
        let mut signals = Signals::new()?;
        // Bound first: a port that is taken should not cost a recovery.
        let (listeners, port) = listener::bind(&settings)?;
        // Answers while the data are opened, which may take long.
        let watched = Arc::new(http::Port::default());
        for listener in http::bind(&settings)? {
            tokio::spawn(http::accept(listener, Arc::clone(&watched)));
        }
        let tls = Tls::default();
        tls.load(&settings.tls).map_err(anyhow::Error::msg).context("cannot set TLS up")?;
        let opening = settings.clone();
        let store = tokio::task::spawn_blocking(move || data::open(&opening)).await?;
        let store = store.with_context(|| format!("cannot open the data directory {}", settings.dir.display()))?;
        let (reading, users) = (settings.clone(), Arc::clone(&store));
        // May hash passwords of the configuration.
        let acl = tokio::task::spawn_blocking(move || Acl::open(&reading, &users)).await?;
        let acl = acl.map_err(|why| anyhow::anyhow!("Aborting startup because of ACL errors: {why}"))?;
        let config = Config::new(loaded.settings, loaded.file);
        let server = Server::new(config, acl, store, tls, log_level, port).map_err(anyhow::Error::msg)?;
        acl::start(&server)?;
        notify::start(&server)?;
        changes::start(&server);
        audit::start(&server)?;
        server.begin_role();
        tokio::spawn(Arc::clone(&server).sample());
        watched.started(&server);
        for (listener, speaks) in listeners {
            tokio::spawn(listener::accept(Arc::clone(&server), listener, speaks));
        }
        tracing::info!("Server initialized");
        tracing::info!("Ready to accept connections on port {port}");
        let how = signals.until_stopped(&server).await;
        let patience = match how {
            Shutdown::Drain => Duration::from_secs(server.config.load().shutdown_timeout_s),
            Shutdown::Now => Duration::ZERO,
        };
        server.drain(patience).await;
        tracing::info!("closing the store");
        tokio::task::spawn_blocking(move || {
            audit::flush(&server, AUDIT_PATIENCE);
            server.traces.close();
            server.close();
        })
        .await?;
        anyhow::Ok(())
    });
    // Whatever still reads has nobody to answer.
    runtime.shutdown_background();
    if let Err(error) = &stopped
        && !settings.logfile.as_os_str().is_empty()
    {
        // What goes to standard error in any case goes to the log as well where that is a file.
        tracing::error!("{}", chain(error));
    }
    stopped?;
    tracing::info!("VedDB is now ready to exit, bye bye...");
    Ok(())
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns when a signal or SHUTDOWN asks the server to stop.
    async fn until_stopped(&mut self, server: &Server) -> Shutdown {
        let mut stopping = server.watch_stop();
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("received SIGTERM, shutting down"),
            _ = self.interrupt.recv() => tracing::info!("received SIGINT, shutting down"),
            _ = stopping.wait_for(Option::is_some) => {}
        }
        server.stop(Shutdown::Drain);
        let how = *stopping.borrow();
        how.unwrap_or(Shutdown::Drain)
    }
}

fn help() -> String {
    let defaults = veddb_server::config::Settings::default();
    let mut text = USAGE.to_owned();
    for setting in SETTINGS {
        let value = (setting.get)(&defaults);
        let value = if value.is_empty() { "\"\"".to_owned() } else { value };
        text.push_str(&format!("  --{:<28} {} (default {value})\n", setting.name, setting.doc));
    }
    text
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// An error with its causes, leaving out a cause that the message before it already says.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn complain(text: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}
