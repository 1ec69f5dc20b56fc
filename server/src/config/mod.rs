//! The settings: their values at this moment, and how they are changed together.
//!
//! Owns the typed [`Settings`] and [`Config`], the place where the running server reads them. [`table`] declares each
//! setting once; [`mod@file`] reads redis.conf syntax and the command line; [`rewrite`] writes them back.

mod console;
pub mod file;
mod http;
pub mod kind;
mod replication;
pub mod rewrite;
mod security;
pub mod table;
mod traces;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use veddb_commands::access::accounts::AccountLimits;
use veddb_commands::context::Limits;
use veddb_commands::queries::QueryLimits;
use veddb_commands::{CommandError, glob};
use veddb_storage::FsyncPolicy;
use veddb_storage::seal::MasterKeySource;

use crate::notify::KeyEvents;
use crate::tls;
use table::{SETTINGS, Setting};

/// The value of every setting. A running command holds one of these, so it sees one moment's settings.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the table documents each by its name")]
pub struct Settings {
    pub audit: crate::audit::Settings,
    pub bind: Vec<IpAddr>,
    pub port: u16,
    pub protected_mode: bool,
    pub requirepass: Secret,
    pub aclfile: PathBuf,
    pub acllog_max_len: usize,
    pub acl_max_rules: usize,
    /// Whether new users may listen to all channels.
    pub acl_pubsub_default: bool,
    /// Lines `user ..` and `role ..` of the configuration file, by their words.
    pub users: Vec<Vec<Bytes>>,
    pub maxclients: usize,
    pub timeout_s: u64,
    pub handshake_timeout_s: u64,
    pub enable_debug_command: Protected,
    pub latency_monitor_threshold_ms: u64,
    /// Microseconds; negative is never.
    pub slowlog_log_slower_than_us: i64,
    pub slowlog_max_len: usize,
    pub tcp_backlog: u32,
    pub tcp_keepalive_s: u64,
    pub databases: u8,
    pub io_threads: usize,
    pub dir: PathBuf,
    pub logfile: PathBuf,
    pub loglevel: LogLevel,
    pub log_format: LogFormat,
    pub appendfsync: FsyncPolicy,
    pub latency_tracking: bool,
    pub latency_percentiles: Vec<f64>,
    pub maxmemory: usize,
    pub maxmemory_cache: usize,
    pub maxmemory_index: usize,
    pub maxmemory_index_build: usize,
    pub maxmemory_writes: usize,
    pub disk_reserve: usize,
    pub master_key_file: PathBuf,
    pub master_key_env: String,
    pub client_query_buffer_limit: usize,
    pub client_output_buffer_limit: OutputLimits,
    /// Channels, patterns and shard channels together.
    pub max_subscriptions_per_client: usize,
    pub max_watched_per_client: usize,
    pub limits: Limits,
    /// What may be asked for in a second.
    pub rates: crate::limits::Settings,
    /// Bounds of queries.
    pub query_limits: QueryLimits,
    pub changes_log_size: u64,
    pub log_segment_size: usize,
    pub shutdown_timeout_s: u64,
    pub ttl_sweep_s: u64,
    pub tls: tls::Settings,
    pub tokens: crate::token::Settings,
    pub notify_keyspace_events: KeyEvents,
    pub notify_doc_events: bool,
    /// The primary that is followed; none where this server is one.
    pub replicaof: Option<Primary>,
    pub masteruser: Secret,
    pub masterauth: Secret,
    pub min_replicas_to_write: usize,
    pub min_replicas_max_lag_s: u64,
    pub repl_ping_period_s: u64,
    pub repl_timeout_s: u64,
    pub repl_log_size: u64,
    pub repl_snapshot_max_age_s: u64,
    pub replica_announce_ip: String,
    pub replica_announce_port: u16,
    pub replica_announced: bool,
    pub replica_priority: u32,
    pub replica_serve_stale_data: bool,
    pub http: crate::http::Settings,
    pub console: crate::http::console::Settings,
    pub traces: crate::traces::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            audit: crate::audit::Settings::default(),
            bind: vec![IpAddr::from([127, 0, 0, 1])],
            port: 6379,
            protected_mode: true,
            requirepass: Secret::default(),
            aclfile: PathBuf::new(),
            acllog_max_len: 128,
            acl_max_rules: 1000,
            acl_pubsub_default: false,
            users: Vec::new(),
            maxclients: 10_000,
            timeout_s: 0,
            handshake_timeout_s: 60,
            enable_debug_command: Protected::No,
            latency_monitor_threshold_ms: 0,
            slowlog_log_slower_than_us: 10_000,
            slowlog_max_len: 128,
            tcp_backlog: 511,
            tcp_keepalive_s: 300,
            databases: 16,
            io_threads: 4,
            dir: PathBuf::from("./veddb-data"),
            logfile: PathBuf::new(),
            loglevel: LogLevel::Notice,
            log_format: LogFormat::Text,
            appendfsync: FsyncPolicy::Always,
            latency_tracking: true,
            latency_percentiles: vec![50.0, 99.0, 99.9],
            maxmemory: 0,
            maxmemory_cache: 64 << 20,
            maxmemory_index: 64 << 20,
            maxmemory_index_build: 64 << 20,
            maxmemory_writes: 48 << 20,
            disk_reserve: 256 << 20,
            master_key_file: PathBuf::new(),
            master_key_env: String::new(),
            client_query_buffer_limit: 1 << 30,
            client_output_buffer_limit: OutputLimits::default(),
            max_subscriptions_per_client: 100_000,
            max_watched_per_client: 10_000,
            limits: Limits::default(),
            rates: crate::limits::Settings::default(),
            query_limits: QueryLimits::default(),
            changes_log_size: 256 << 20,
            log_segment_size: 64 << 20,
            shutdown_timeout_s: 10,
            ttl_sweep_s: 1,
            tls: tls::Settings::default(),
            tokens: crate::token::Settings::default(),
            notify_keyspace_events: KeyEvents::default(),
            notify_doc_events: false,
            replicaof: None,
            masteruser: Secret::default(),
            masterauth: Secret::default(),
            min_replicas_to_write: 0,
            min_replicas_max_lag_s: 10,
            repl_ping_period_s: 10,
            repl_timeout_s: 60,
            repl_log_size: 1 << 30,
            repl_snapshot_max_age_s: 3600,
            replica_announce_ip: String::new(),
            replica_announce_port: 0,
            replica_announced: true,
            replica_priority: 100,
            replica_serve_stale_data: true,
            http: crate::http::Settings::default(),
            console: crate::http::console::Settings::default(),
            traces: crate::traces::Settings::default(),
        }
    }
}

/// Who may send a command that harms the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protected {
    /// Nobody.
    No,
    /// Connections from this machine.
    Local,
    /// Everybody.
    Yes,
}

impl Settings {
    /// What bounds users, and what new ones may do.
    pub(crate) fn account_limits(&self) -> AccountLimits {
        AccountLimits { rules: self.acl_max_rules, all_channels: self.acl_pubsub_default }
    }

    /// Whether a command that took so long is to be kept.
    pub(crate) fn is_slow(&self, took_us: u64) -> bool {
        u64::try_from(self.slowlog_log_slower_than_us).is_ok_and(|least| took_us >= least)
    }
}

/// Where a primary listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for Primary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.host, self.port)
    }
}

/// A text that no log and no error shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "(hidden)" })
    }
}

/// The setting `loglevel`, in Redis's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
    Nothing,
}

/// The setting `log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogFormat {
    Text,
    Json,
}

/// How much a client may leave unread; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Closes the connection at once.
    pub hard_bytes: usize,
    /// Closes it when it stays above this ...
    pub soft_bytes: usize,
    /// ... for this long.
    pub soft_s: u64,
}

/// The limits of each class of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Of connections that listen to nothing.
    pub normal: OutputLimit,
    /// Of those that listen to channels.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    /// Redis's.
    fn default() -> OutputLimits {
        let pubsub = OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_s: 60 };
        OutputLimits { normal: OutputLimit::default(), pubsub }
    }
}

/// The settings of a running server.
#[derive(Debug)]
pub struct Config {
    current: ArcSwap<Settings>,
    /// Serialises changes, so that two of them cannot lose one another.
    changing: Mutex<()>,
    /// The configuration file, when there is one.
    file: Option<PathBuf>,
}

impl Config {
    /// Settings that came from this file, if from any.
    pub fn new(settings: Settings, file: Option<PathBuf>) -> Config {
        Config { current: ArcSwap::from_pointee(settings), changing: Mutex::new(()), file }
    }

    /// The settings now.
    pub fn load(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// The configuration file.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// CONFIG GET: settings whose name matches.
    pub fn get(&self, pattern: &[u8]) -> Vec<(String, String)> {
        let settings = self.current.load();
        let wanted = SETTINGS.iter().filter(|setting| glob::matches(pattern, setting.name.as_bytes(), true));
        wanted.map(|setting| (setting.name.to_owned(), (setting.get)(&settings))).collect()
    }

    /// Takes over where the master key is, which KEY.ROTATE MASTER changes: a start with the settings as they are shown and
    /// written back has to open the store.
    pub fn follow_master_key(&self, source: &MasterKeySource) {
        let MasterKeySource::File(path) = source else { return };
        let _changing = self.changing.lock();
        let before = self.current.load();
        if before.master_key_file == *path {
            return;
        }
        let mut after = Settings::clone(&before);
        after.master_key_file.clone_from(path);
        // Naming both is refused.
        after.master_key_env.clear();
        self.current.store(Arc::new(after));
    }

    /// Does this while nobody changes anything.
    pub(crate) fn unchanged<T>(&self, work: impl FnOnce(&Settings) -> T) -> T {
        let _changing = self.changing.lock();
        work(&self.current.load())
    }

    /// CONFIG SET: all of the changes or none. `apply` carries the new settings into effect; when it refuses, nothing
    /// has changed. It also hears the names, since a file may have changed while its name has not.
    pub fn set(
        &self,
        changes: &[(Bytes, Bytes)],
        apply: impl FnOnce(&Settings, &Settings, &[&'static str]) -> Result<(), String>,
    ) -> Result<(), CommandError> {
        let _changing = self.changing.lock();
        let before = self.current.load_full();
        let mut after = Settings::clone(&before);
        let mut seen: Vec<&'static str> = Vec::new();
        for (name, value) in changes {
            let setting = Setting::find(name).ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                CommandError::err(format!("Unknown option or number of arguments for CONFIG SET - '{name}'"))
            })?;
            if seen.contains(&setting.name) {
                return Err(refused(setting.name, "duplicate parameter"));
            }
            seen.push(setting.name);
            let text = std::str::from_utf8(value).map_err(|_| refused(setting.name, "argument is not UTF-8"))?;
            // A fixed setting may be "changed" to the value it has: tools write back what they read.
            if !setting.mutable && (setting.get)(&before) != text {
                return Err(refused(setting.name, "can't set immutable config"));
            }
            (setting.set)(&mut after, text).map_err(|why| refused(setting.name, &why))?;
        }
        apply(&before, &after, &seen).map_err(|why| CommandError::err(format!("CONFIG SET failed - {why}")))?;
        self.current.store(Arc::new(after));
        Ok(())
    }

    /// Notes which primary is followed, so that CONFIG REWRITE keeps it.
    pub(crate) fn set_replicaof(&self, primary: Option<Primary>) {
        let _changing = self.changing.lock();
        let before = self.current.load_full();
        self.current.store(Arc::new(Settings { replicaof: primary, ..Settings::clone(&before) }));
    }
}

fn refused(name: &str, why: &str) -> CommandError {
    CommandError::err(format!("CONFIG SET failed (possibly related to argument '{name}') - {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(config: &Config, changes: &[(&'static str, &'static str)]) -> Result<(), String> {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let changes: Vec<_> = changes.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        config.set(&changes, |_, _, _| Ok(())).map_err(|error| error.to_string())
    }

    #[test]
    fn changes_are_made_together_or_not_at_all() {
        let config = Config::new(Settings::default(), None);
        set(&config, &[("TIMEOUT", "5"), ("appendfsync", "everysec")]).unwrap();
        assert_eq!(config.get(b"TimeOut"), [("timeout".to_owned(), "5".to_owned())]);
        let refused = set(&config, &[("timeout", "6"), ("maxclients", "many")]).unwrap_err();
        assert_eq!(
            refused,
            "ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer"
        );
        assert_eq!(config.load().timeout_s, 5);
    }

    #[test]
    fn refusals_are_worded_as_in_redis() {
        let config = Config::new(Settings::default(), None);
        let refused = |changes| set(&config, changes).unwrap_err();
        assert_eq!(refused(&[("nope", "1")]), "ERR Unknown option or number of arguments for CONFIG SET - 'nope'");
        assert!(
            refused(&[("port", "7000")])
                .ends_with("(possibly related to argument 'port') - can't set immutable config")
        );
        assert!(refused(&[("timeout", "1"), ("timeout", "2")]).ends_with("duplicate parameter"));
        assert!(
            refused(&[("loglevel", "loud")])
                .ends_with("argument(s) must be one of the following: debug, verbose, notice, warning, nothing")
        );
    }

    #[test]
    fn where_the_master_key_is_is_followed() {
        let settings = Settings { master_key_env: "KEY".to_owned(), ..Settings::default() };
        let config = Config::new(settings, None);
        config.follow_master_key(&MasterKeySource::Environment("KEY".to_owned()));
        assert_eq!(config.load().master_key_env, "KEY");
        config.follow_master_key(&MasterKeySource::File("/new".into()));
        assert_eq!(config.get(b"master-key-file"), [("master-key-file".to_owned(), "/new".to_owned())]);
        assert_eq!(config.load().master_key_env, "", "naming both is refused");
    }

    #[test]
    fn secrets_are_not_shown_by_debug() {
        let shown = format!("{:?}", Secret("s3cret".into()));
        assert!(!shown.contains("s3cret"));
    }
}
