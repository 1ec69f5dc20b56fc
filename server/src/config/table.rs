//! Every setting, declared once: how it is called, read, shown, and whether it may change while the server runs.

use std::path::PathBuf;

use super::kind::{Refusal, addresses, boolean, choice, integer, memory, only, output_limits, percentiles, word};
use super::{LogFormat, LogLevel, OutputLimit, Protected, Secret, Settings};
use super::{console, http, replication, security, traces};
use crate::notify::KeyEvents;
use veddb_commands::access::password::PASSWORD_BYTES_MAX;
use veddb_storage::FsyncPolicy;

/// One setting. Its default is what [`Settings::default`] says.
pub struct Setting {
    /// As in redis.conf and CONFIG GET.
    pub name: &'static str,
    /// One sentence for `veddb --help`.
    pub doc: &'static str,
    /// Whether CONFIG SET may change it.
    pub mutable: bool,
    /// The value as CONFIG GET shows it.
    pub get: fn(&Settings) -> String,
    /// Reads a value.
    pub set: fn(&mut Settings, &str) -> Result<(), Refusal>,
    /// The name that CONFIG REWRITE writes; another one than `name` where this is the old name of a setting.
    pub called: &'static str,
    /// Whether its value is several words in the file.
    pub words: bool,
    /// Whether no error message shows its value.
    pub secret: bool,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Setting {
    /// The setting of this name, in any case.
    pub fn find(name: &[u8]) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// A setting that is given at start-up only.
    pub(super) const fn fixed(
        name: &'static str,
        doc: &'static str,
        get: fn(&Settings) -> String,
        set: fn(&mut Settings, &str) -> Result<(), Refusal>,
    ) -> Setting {
        Setting { name, doc, mutable: false, get, set, called: name, words: false, secret: false }
    }

    /// A setting that CONFIG SET changes.
    pub(super) const fn live(
        name: &'static str,
        doc: &'static str,
        get: fn(&Settings) -> String,
        set: fn(&mut Settings, &str) -> Result<(), Refusal>,
    ) -> Setting {
        Setting { name, doc, mutable: true, get, set, called: name, words: false, secret: false }
    }

    /// The same under the name that it had before Redis 5.
    pub(super) const fn once_called(self, name: &'static str) -> Setting {
        Setting { name, ..self }
    }

    /// The same, written as several words.
    pub(super) const fn of_words(self) -> Setting {
        Setting { words: true, ..self }
    }

    /// The same, never shown in an error.
    pub(super) const fn secret(self) -> Setting {
        Setting { secret: true, ..self }
    }
}

const FSYNC: &[(&str, FsyncPolicy)] =
    &[("always", FsyncPolicy::Always), ("everysec", FsyncPolicy::EverySecond), ("no", FsyncPolicy::No)];
const LEVELS: &[(&str, LogLevel)] = &[
    ("debug", LogLevel::Debug),
    ("verbose", LogLevel::Verbose),
    ("notice", LogLevel::Notice),
    ("warning", LogLevel::Warning),
    ("nothing", LogLevel::Nothing),
];
const PROTECTED: &[(&str, Protected)] = &[("no", Protected::No), ("local", Protected::Local), ("yes", Protected::Yes)];
const CHANNELS: &[(&str, bool)] = &[("resetchannels", false), ("allchannels", true)];
const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
pub(super) const I32: i64 = i32::MAX as i64;
pub(super) const MIB: i64 = 1 << 20;
pub(super) const GIB: i64 = 1 << 30;

pub(super) fn put<T>(slot: &mut T, value: Result<T, Refusal>) -> Result<(), Refusal> {
    *slot = value?;
    Ok(())
}

pub(super) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

pub(super) fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// All settings, by name.
pub static SETTINGS: &[Setting] = &[
    Setting::live(
        "acl-max-rules",
        "Rules and passwords that one user or role may have.",
        |s| s.acl_max_rules.to_string(),
        |s, v| put(&mut s.acl_max_rules, integer(v, 1..=1_000_000)),
    ),
    Setting::live(
        "acl-pubsub-default",
        "What new users may listen to and publish on: resetchannels (nothing) or allchannels.",
        |s| word(s.acl_pubsub_default, CHANNELS),
        |s, v| put(&mut s.acl_pubsub_default, choice(v, CHANNELS)),
    ),
    Setting::fixed(
        "aclfile",
        "The file that users and roles come from, instead of the store: ACL LOAD reads it, ACL SAVE writes it; empty is none.",
        |s| path(&s.aclfile),
        |s, v| put(&mut s.aclfile, Ok(PathBuf::from(v))),
    ),
    Setting::live(
        "acllog-max-len",
        "Refused requests and passwords that ACL LOG keeps.",
        |s| s.acllog_max_len.to_string(),
        |s, v| put(&mut s.acllog_max_len, integer(v, 0..=1_000_000)),
    ),
    Setting::live(
        "appendfsync",
        "When a commit waits for the disk: always, everysec, no.",
        |s| word(s.appendfsync, FSYNC),
        |s, v| put(&mut s.appendfsync, choice(v, FSYNC)),
    ),
    Setting::fixed(
        "appendonly",
        "Always yes: the log is what makes a write durable.",
        |_| "yes".to_owned(),
        |_, v| only(v, "yes", "the log cannot be turned off"),
    ),
    security::AUDIT_EVENTS,
    security::AUDIT_FILE_SIZE,
    security::AUDIT_FILES_MAX,
    security::AUDIT_ON_FAILURE,
    Setting::fixed(
        "bind",
        "The IP addresses to listen on.",
        |s| s.bind.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        |s, v| put(&mut s.bind, addresses(v)),
    )
    .of_words(),
    Setting::live(
        "changes-log-size",
        "Bytes of the log that are kept for DOC.CHANGES beside what a start needs: its newest files, as many as fit. 0 is none.",
        |s| s.changes_log_size.to_string(),
        |s, v| put(&mut s.changes_log_size, memory(v, 0..=i64::MAX).map(|bytes| bytes as u64)),
    ),
    Setting::live(
        "changes-reply-size",
        "Bytes of events that one answer of DOC.CHANGES holds; one event is given in any case.",
        |s| s.limits.changes_reply_size.to_string(),
        |s, v| put(&mut s.limits.changes_reply_size, memory(v, 1024..=64 * MIB)),
    ),
    Setting::live(
        "client-output-buffer-limit",
        "<class> <hard> <soft> <seconds> ..: bytes that a client may leave unread; 0 is no limit. Classes: normal, and pubsub of clients that listen to channels.",
        |s| {
            let text = |class, limit: OutputLimit| {
                format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_s)
            };
            let limits = s.client_output_buffer_limit;
            format!("{} {}", text("normal", limits.normal), text("pubsub", limits.pubsub))
        },
        |s, v| {
            let limits = output_limits(v, s.client_output_buffer_limit);
            put(&mut s.client_output_buffer_limit, limits)
        },
    )
    .of_words(),
    Setting::live(
        "client-query-buffer-limit",
        "The most bytes that one request may take.",
        |s| s.client_query_buffer_limit.to_string(),
        |s, v| put(&mut s.client_query_buffer_limit, memory(v, MIB..=i64::MAX)),
    ),
    Setting::fixed(
        "cluster-enabled",
        "Always no: there is no cluster.",
        |_| "no".to_owned(),
        |_, v| only(v, "no", "there is no cluster"),
    ),
    Setting::live(
        "cursor-max-age",
        "Seconds after which a cursor is closed, read or not: it holds back storage.",
        |s| s.query_limits.cursor_max_age_s.to_string(),
        |s, v| put(&mut s.query_limits.cursor_max_age_s, integer(v, 1..=I32)),
    ),
    Setting::live(
        "cursor-timeout",
        "Seconds after which a cursor that nobody reads is closed.",
        |s| s.query_limits.cursor_timeout_s.to_string(),
        |s, v| put(&mut s.query_limits.cursor_timeout_s, integer(v, 1..=I32)),
    ),
    Setting::fixed(
        "databases",
        "How many databases there are.",
        |s| s.databases.to_string(),
        |s, v| put(&mut s.databases, integer(v, 1..=255)),
    ),
    Setting::fixed("dir", "The data directory.", |s| path(&s.dir), |s, v| put(&mut s.dir, directory(v))),
    Setting::fixed(
        "disk-reserve",
        "Writes are refused (NOSPACE) while less than this is free on the data directory's disk; 0 is no reserve.",
        |s| s.disk_reserve.to_string(),
        |s, v| put(&mut s.disk_reserve, memory(v, 0..=i64::MAX)),
    ),
    Setting::fixed(
        "enable-debug-command",
        "Who may send DEBUG: no (nobody), local (connections from this machine), yes.",
        |s| word(s.enable_debug_command, PROTECTED),
        |s, v| put(&mut s.enable_debug_command, choice(v, PROTECTED)),
    ),
    Setting::live(
        "handshake-timeout",
        "Seconds in which a connection must have got in and had a first command carried out; 0 is no limit.",
        |s| s.handshake_timeout_s.to_string(),
        |s, v| put(&mut s.handshake_timeout_s, integer(v, 0..=I32)),
    ),
    http::HTTP_BIND,
    console::HTTP_CONSOLE,
    http::HTTP_PORT,
    console::HTTP_SESSION_TIMEOUT,
    console::HTTP_SESSIONS_MAX,
    Setting::fixed(
        "io-threads",
        "How many long reads (scans, queries) may run at once, each on a thread of its own.",
        |s| s.io_threads.to_string(),
        |s, v| put(&mut s.io_threads, integer(v, 1..=128)),
    ),
    Setting::live(
        "latency-monitor-threshold",
        "Milliseconds from which on LATENCY keeps what took long; 0 is off.",
        |s| s.latency_monitor_threshold_ms.to_string(),
        |s, v| put(&mut s.latency_monitor_threshold_ms, integer(v, 0..=i64::MAX)),
    ),
    Setting::live(
        "latency-tracking",
        "Whether LATENCY HISTOGRAM and INFO latencystats count how long calls take.",
        |s| yes_no(s.latency_tracking),
        |s, v| put(&mut s.latency_tracking, boolean(v)),
    ),
    Setting::live(
        "latency-tracking-info-percentiles",
        "Which percentiles INFO latencystats shows.",
        |s| s.latency_percentiles.iter().map(f64::to_string).collect::<Vec<_>>().join(" "),
        |s, v| put(&mut s.latency_percentiles, percentiles(v)),
    ),
    security::LIMIT_ADDRESS_BYTES,
    security::LIMIT_ADDRESS_COMMANDS,
    security::LIMIT_ADDRESS_CONNECTIONS,
    security::LIMIT_AUTH_FAILURES,
    security::LIMIT_USER_BYTES,
    security::LIMIT_USER_COMMANDS,
    security::LIMIT_USER_CONNECTIONS,
    Setting::fixed(
        "log-format",
        "text or json.",
        |s| word(s.log_format, FORMATS),
        |s, v| put(&mut s.log_format, choice(v, FORMATS)),
    ),
    Setting::fixed(
        "log-segment-size",
        "Bytes of one file of the log.",
        |s| s.log_segment_size.to_string(),
        |s, v| put(&mut s.log_segment_size, memory(v, MIB..=16 * GIB)),
    ),
    Setting::fixed(
        "logfile",
        "Where the server's log lines go; empty is standard error.",
        |s| path(&s.logfile),
        |s, v| put(&mut s.logfile, Ok(PathBuf::from(v))),
    ),
    Setting::live(
        "loglevel",
        "debug, verbose, notice, warning or nothing.",
        |s| word(s.loglevel, LEVELS),
        |s, v| put(&mut s.loglevel, choice(v, LEVELS)),
    ),
    Setting::fixed(
        "master-key-env",
        "The environment variable that holds the master key.",
        |s| s.master_key_env.clone(),
        |s, v| put(&mut s.master_key_env, Ok(v.to_owned())),
    ),
    Setting::fixed(
        "master-key-file",
        "The file that holds the master key; with none named, <dir>.key is made at the first start.",
        |s| path(&s.master_key_file),
        |s, v| put(&mut s.master_key_file, Ok(PathBuf::from(v))),
    ),
    replication::MASTERAUTH,
    replication::MASTERUSER,
    Setting::live(
        "max-commit-work",
        "Steps that expressions may take while all other writes wait: those of documents that others keep changing.",
        |s| s.limits.max_commit_work.to_string(),
        |s, v| put(&mut s.limits.max_commit_work, integer(v, 1000..=1_000_000_000)),
    ),
    Setting::live(
        "max-cursors",
        "Cursors open at once.",
        |s| s.query_limits.cursors.to_string(),
        |s, v| put(&mut s.query_limits.cursors, integer(v, 0..=1_000_000)),
    ),
    Setting::live(
        "max-cursors-per-client",
        "Cursors that one connection may have open.",
        |s| s.query_limits.cursors_per_client.to_string(),
        |s, v| put(&mut s.query_limits.cursors_per_client, integer(v, 0..=1_000_000)),
    ),
    Setting::live(
        "max-document-depth",
        "Levels of nesting of a document, filter or update.",
        |s| s.limits.max_document_depth.to_string(),
        // Parsers recurse to this depth, so a larger one would have to be proven against the stack first.
        |s, v| put(&mut s.limits.max_document_depth, integer(v, 1..=128)),
    ),
    Setting::live(
        "max-document-size",
        "Bytes of JSON text of one document.",
        |s| s.limits.max_document_size.to_string(),
        |s, v| put(&mut s.limits.max_document_size, memory(v, 1024..=48 * MIB)),
    ),
    Setting::live(
        "max-query-nodes",
        "Operators and fields of one filter or update.",
        |s| s.limits.max_query_nodes.to_string(),
        |s, v| put(&mut s.limits.max_query_nodes, integer(v, 1..=1_000_000)),
    ),
    Setting::live(
        "max-regex-size",
        "Bytes of one compiled regular expression.",
        |s| s.limits.max_regex_size.to_string(),
        |s, v| put(&mut s.limits.max_regex_size, memory(v, 1024..=64 * MIB)),
    ),
    Setting::live(
        "max-subscriptions-per-client",
        "Channels, patterns and shard channels that one connection may listen to.",
        |s| s.max_subscriptions_per_client.to_string(),
        |s, v| put(&mut s.max_subscriptions_per_client, integer(v, 0..=10_000_000)),
    ),
    Setting::live(
        "max-watched-per-client",
        "Names that one connection may watch.",
        |s| s.max_watched_per_client.to_string(),
        |s, v| put(&mut s.max_watched_per_client, integer(v, 0..=10_000_000)),
    ),
    Setting::live(
        "maxclients",
        "Connections at once.",
        |s| s.maxclients.to_string(),
        |s, v| put(&mut s.maxclients, integer(v, 1..=I32)),
    ),
    Setting::live(
        "maxmemory",
        "Bytes of memory of its own (used_memory) beyond which the server refuses commands that may take more, with OOM; looked at once a second. 0: no bound beside maxmemory-cache, -index and -writes.",
        |s| s.maxmemory.to_string(),
        |s, v| put(&mut s.maxmemory, memory(v, 0..=i64::MAX)),
    ),
    Setting::live(
        "maxmemory-cache",
        "Bytes of documents kept in memory.",
        |s| s.maxmemory_cache.to_string(),
        |s, v| put(&mut s.maxmemory_cache, memory(v, 0..=i64::MAX)),
    ),
    Setting::live(
        "maxmemory-index",
        "Bytes of index pages kept in memory.",
        |s| s.maxmemory_index.to_string(),
        |s, v| put(&mut s.maxmemory_index, memory(v, MIB..=i64::MAX)),
    ),
    Setting::fixed(
        "maxmemory-index-build",
        "Bytes of entries kept in memory while an index is built; more go to sealed temporary files.",
        |s| s.maxmemory_index_build.to_string(),
        |s, v| put(&mut s.maxmemory_index_build, memory(v, MIB..=GIB)),
    ),
    Setting::fixed(
        "maxmemory-policy",
        "Always noeviction: nothing is evicted from the store.",
        |_| "noeviction".to_owned(),
        |_, v| only(v, "noeviction", "nothing is evicted from the store"),
    ),
    Setting::fixed(
        "maxmemory-writes",
        "Bytes of documents that no checkpoint has written yet; up to four times this while one is being written.",
        |s| s.maxmemory_writes.to_string(),
        |s, v| put(&mut s.maxmemory_writes, memory(v, MIB..=i64::MAX)),
    ),
    http::METRICS_MAX_COLLECTIONS,
    replication::MIN_REPLICAS_MAX_LAG,
    replication::MIN_REPLICAS_TO_WRITE,
    replication::MIN_REPLICAS_MAX_LAG.once_called("min-slaves-max-lag"),
    replication::MIN_REPLICAS_TO_WRITE.once_called("min-slaves-to-write"),
    Setting::live(
        "notify-doc-events",
        "Whether changes of documents are published on __doc@<collection>__.",
        |s| yes_no(s.notify_doc_events),
        |s, v| put(&mut s.notify_doc_events, boolean(v)),
    ),
    Setting::live(
        "notify-keyspace-events",
        "What is published of keys, as Redis's letters: K on __keyspace@<db>__:<key>, E on __keyevent@<db>__:<event>, and the classes g $ d x n, or A; empty is nothing.",
        |s| s.notify_keyspace_events.to_string(),
        |s, v| put(&mut s.notify_keyspace_events, KeyEvents::parse(v)),
    ),
    Setting::fixed(
        "port",
        "The TCP port; 0 takes a free one.",
        |s| s.port.to_string(),
        |s, v| put(&mut s.port, integer(v, 0..=65_535)),
    ),
    Setting::live(
        "protected-mode",
        "Refuses connections from other machines while no password is set.",
        |s| yes_no(s.protected_mode),
        |s, v| put(&mut s.protected_mode, boolean(v)),
    ),
    Setting::live(
        "proto-max-bulk-len",
        "Bytes of one argument.",
        |s| s.limits.proto_max_bulk_len.to_string(),
        |s, v| put(&mut s.limits.proto_max_bulk_len, memory(v, MIB..=GIB)),
    ),
    Setting::live(
        "query-max-time",
        "Milliseconds that a command may take that reads documents, as if MAXTIME said so; 0 is no limit.",
        |s| s.limits.query_max_time_ms.to_string(),
        |s, v| put(&mut s.limits.query_max_time_ms, integer(v, 0..=I32)),
    ),
    Setting::live(
        "query-memory-limit",
        "Bytes that one query may hold; what is more goes to sealed temporary files.",
        |s| s.query_limits.memory.to_string(),
        |s, v| put(&mut s.query_limits.memory, memory(v, MIB..=i64::MAX)),
    ),
    Setting::live(
        "query-memory-total",
        "Bytes that all queries together may hold.",
        |s| s.query_limits.memory_total.to_string(),
        |s, v| put(&mut s.query_limits.memory_total, memory(v, MIB..=i64::MAX)),
    ),
    http::READY_MAX_LAG,
    replication::REPL_LOG_SIZE,
    replication::REPL_PING_REPLICA_PERIOD,
    replication::REPL_PING_REPLICA_PERIOD.once_called("repl-ping-slave-period"),
    replication::REPL_SNAPSHOT_MAX_AGE,
    replication::REPL_TIMEOUT,
    replication::REPLICA_ANNOUNCE_IP,
    replication::REPLICA_ANNOUNCE_PORT,
    replication::REPLICA_ANNOUNCED,
    replication::REPLICA_PRIORITY,
    replication::REPLICA_READ_ONLY,
    replication::REPLICA_SERVE_STALE_DATA,
    replication::REPLICAOF,
    Setting::live(
        "requirepass",
        "The password of the user default; empty is none.",
        |s| s.requirepass.0.clone(),
        |s, v| put(&mut s.requirepass, password(v)),
    )
    .secret(),
    Setting::fixed(
        "save",
        "Always empty: there are no RDB snapshots.",
        |_| String::new(),
        |_, v| only(v, "", "there are no RDB snapshots"),
    ),
    Setting::live(
        "shutdown-timeout",
        "Seconds that a stop waits for requests that are running.",
        |s| s.shutdown_timeout_s.to_string(),
        |s, v| put(&mut s.shutdown_timeout_s, integer(v, 0..=I32)),
    ),
    replication::REPLICA_ANNOUNCE_IP.once_called("slave-announce-ip"),
    replication::REPLICA_ANNOUNCE_PORT.once_called("slave-announce-port"),
    replication::REPLICA_PRIORITY.once_called("slave-priority"),
    replication::REPLICA_READ_ONLY.once_called("slave-read-only"),
    replication::REPLICA_SERVE_STALE_DATA.once_called("slave-serve-stale-data"),
    replication::REPLICAOF.once_called("slaveof"),
    Setting::live(
        "slowlog-log-slower-than",
        "Microseconds from which on SLOWLOG keeps a command; 0 is every one, negative is none.",
        |s| s.slowlog_log_slower_than_us.to_string(),
        |s, v| put(&mut s.slowlog_log_slower_than_us, integer(v, -1..=i64::MAX)),
    ),
    Setting::live(
        "slowlog-max-len",
        "Commands that SLOWLOG keeps.",
        |s| s.slowlog_max_len.to_string(),
        |s, v| put(&mut s.slowlog_max_len, integer(v, 0..=1_000_000)),
    ),
    Setting::fixed(
        "tcp-backlog",
        "Connections that may wait to be accepted.",
        |s| s.tcp_backlog.to_string(),
        |s, v| put(&mut s.tcp_backlog, integer(v, 1..=65_535)),
    ),
    Setting::live(
        "tcp-keepalive",
        "Seconds of silence after which a connection is probed; 0 is never. For connections made from then on.",
        |s| s.tcp_keepalive_s.to_string(),
        |s, v| put(&mut s.tcp_keepalive_s, integer(v, 0..=I32)),
    ),
    Setting::live(
        "timeout",
        "Seconds of silence after which a connection is closed; 0 is never.",
        |s| s.timeout_s.to_string(),
        |s, v| put(&mut s.timeout_s, integer(v, 0..=I32)),
    ),
    security::TLS_AUTH_CLIENTS,
    security::TLS_AUTH_CLIENTS_USER,
    security::TLS_CA_CERT_FILE,
    security::TLS_CERT_FILE,
    security::TLS_CLIENT_CERT_FILE,
    security::TLS_CLIENT_KEY_FILE,
    security::TLS_CRL_FILE,
    security::TLS_KEY_FILE,
    security::TLS_PORT,
    security::TLS_PROTOCOLS,
    security::TLS_REPLICATION,
    security::TOKEN_AUDIENCE,
    security::TOKEN_ISSUER,
    security::TOKEN_JWKS_FILE,
    security::TOKEN_JWKS_ISSUER,
    security::TOKEN_MAX_LIFETIME,
    security::TOKEN_MAX_RECORDS,
    traces::TRACE_CA_CERT_FILE,
    traces::TRACE_ENDPOINT,
    traces::TRACE_HEADERS,
    traces::TRACE_QUEUE,
    traces::TRACE_SAMPLE,
    traces::TRACE_SLOW,
    Setting::live(
        "ttl-sweep-seconds",
        "How often documents are deleted whose time has come (DOC.EXPIRE, IDX.CREATE .. EXPIREAFTER).",
        |s| s.ttl_sweep_s.to_string(),
        |s, v| put(&mut s.ttl_sweep_s, integer(v, 1..=3600)),
    ),
];

/// One that AUTH takes.
fn password(text: &str) -> Result<Secret, Refusal> {
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(format!("a password has at most {PASSWORD_BYTES_MAX} bytes"));
    }
    Ok(Secret(text.to_owned()))
}

fn directory(text: &str) -> Result<PathBuf, Refusal> {
    if text.is_empty() { Err("a directory is needed".to_owned()) } else { Ok(PathBuf::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_default_reads_back() {
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
        let default = Settings::default();
        for setting in SETTINGS {
            let mut read = Settings::default();
            (setting.set)(&mut read, &(setting.get)(&default)).unwrap_or_else(|why| panic!("{setting:?}: {why}"));
            assert_eq!(read, default, "{setting:?}");
        }
    }
}
