//! The figures of INFO. Each is counted in [`crate::metrics`] or read from the operating system when asked for.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use veddb_commands::session::{InfoSection, REDIS_VERSION};

use crate::client::Client;
use crate::execute::now_ms;
use crate::memory;
use crate::metrics::KeyCounts;
use crate::process;
use crate::server::Server;

type Fields = Vec<(String, String)>;

/// The fields of one section.
pub(crate) fn fields(server: &Server, section: InfoSection) -> Fields {
    match section {
        InfoSection::Server => about_server(server),
        InfoSection::Clients => about_clients(server),
        InfoSection::Memory => about_memory(server),
        InfoSection::Persistence => persistence(server),
        InfoSection::Stats => stats(server),
        InfoSection::Replication => crate::replication::info::fields(server),
        InfoSection::Cpu => cpu(),
        InfoSection::Modules => {
            // Clients look here before they use the commands of the module.
            let (name, version) = veddb_commands::json::MODULE;
            let options = "api=1,filters=0,usedby=[],using=[],options=[]";
            vec![field("module", format!("name={name},ver={version},{options}"))]
        }
        InfoSection::Keyspace => keyspace(server),
        InfoSection::Encryption => encryption(server),
        InfoSection::Commandstats => commandstats(server),
        InfoSection::Errorstats => {
            let errors = server.metrics.errors();
            errors.into_iter().map(|(code, count)| (format!("errorstat_{code}"), format!("count={count}"))).collect()
        }
        InfoSection::Latencystats => latencystats(server),
        InfoSection::Cluster => vec![field("cluster_enabled", 0)],
    }
}

/// A line for each database with keys.
fn keyspace(server: &Server) -> Fields {
    // While the data are replaced there are none to be counted.
    let Some(store) = server.store_now() else { return Vec::new() };
    let view = store.view(now_ms());
    let line = |db: u8| {
        let keys = view.keys(db)?;
        let count = view.count(&keys).unwrap_or(0);
        let (expires, average_ms) = view.lifetimes(&keys).unwrap_or((0, 0));
        (count > 0)
            .then(|| (format!("db{db}"), format!("keys={count},expires={expires},avg_ttl={average_ms},subexpiry=0")))
    };
    (0..server.config.load().databases).filter_map(line).collect()
}

pub(crate) fn field(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn encryption(server: &Server) -> Fields {
    let Some(store) = server.store_now() else { return vec![field("cipher", veddb_storage::seal::CIPHER)] };
    let keys = store.data_keys();
    let status = keys.status();
    let (rotation, figures) = (&status.rotation, &status.figures);
    let mut fields = vec![
        field("cipher", veddb_storage::seal::CIPHER),
        field("master_key_origin", keys.origin()),
        field("data_keys", status.keys.len()),
        field("active_key", status.keys.first().map_or(0, |key| key.id)),
        field("rotation_state", rotation.phase.as_str()),
        field("rotation_paused", u8::from(rotation.paused)),
        field("rotation_cancelled", u8::from(rotation.cancelled)),
        field("rotation_from", rotation.from),
        field("rotation_to", rotation.to),
        field("rotation_records_total", figures.total),
        field("rotation_records_done", figures.done),
        field("rotation_percent", format!("{:.1}", status.percent())),
        field("rotation_records_per_sec", figures.rate.round()),
        field("rotation_limit_per_sec", rotation.rate),
        field("rotation_started_ms", rotation.started_ms),
        field("rotation_ended_ms", rotation.ended_ms),
        field("rotation_checkpoint", if rotation.is_open() { &figures.step } else { "" }),
        field("rotation_error", rotation.error.replace(['\r', '\n'], " ")),
    ];
    // As counted last: by a rotation, or by KEY.LIST.
    fields.extend(keys.last_count().iter().map(|(id, count)| field(&format!("records_under_key_{id}"), count)));
    fields
}

fn about_clients(server: &Server) -> Fields {
    let clients = server.clients.list();
    let count = |holds: &dyn Fn(&Client) -> bool| clients.iter().filter(|client| holds(client)).count();
    let (input, output) = server.clients.recent_buffers();
    vec![
        field("connected_clients", clients.len()),
        field("maxclients", server.config.load().maxclients),
        field("client_recent_max_input_buffer", input),
        field("client_recent_max_output_buffer", output),
        field("blocked_clients", count(&Client::is_blocked)),
        field("pubsub_clients", count(&Client::is_subscriber)),
        field("monitor_clients", server.monitors.count()),
        field("watching_clients", count(&|client| client.watched.load(Relaxed) > 0)),
        field("total_watched_keys", clients.iter().map(|client| client.watched.load(Relaxed)).sum::<usize>()),
    ]
}

fn about_server(server: &Server) -> Fields {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let os = format!("{} {} {}", text(system.sysname()), text(system.release()), text(system.machine()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let uptime = server.started.elapsed().as_secs();
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let file = server.config.file().map(|path| path.display().to_string()).unwrap_or_default();
    vec![
        field("redis_version", REDIS_VERSION),
        field("veddb_version", env!("CARGO_PKG_VERSION")),
        field("redis_mode", "standalone"),
        field("os", os),
        field("arch_bits", usize::BITS),
        field("multiplexing_api", "epoll"),
        field("process_id", std::process::id()),
        field("run_id", &server.run_id),
        field("tcp_port", server.port),
        field("server_time_usec", now.as_micros()),
        field("uptime_in_seconds", uptime),
        field("uptime_in_days", uptime / 86_400),
        field("executable", executable),
        field("config_file", file),
        field("io_threads", server.config.load().io_threads),
    ]
}

fn about_memory(server: &Server) -> Fields {
    let settings = server.config.load();
    let (mut fields, used) = (Vec::new(), server.memory());
    // Anonymous memory is what the server itself took; the rest of the resident set is files the kernel caches.
    for (name, value) in [
        ("used_memory", used),
        ("used_memory_rss", memory::resident()),
        ("used_memory_peak", used.map(|_| server.memory_peak())),
        ("total_system_memory", memory::of_the_machine()),
    ] {
        if let Some(bytes) = value {
            fields.push(field(name, bytes));
            fields.push(field(&format!("{name}_human"), human(bytes)));
        }
    }
    let figures = memory::figures(server);
    if let Some(bytes) = figures.startup {
        fields.push(field("used_memory_startup", bytes));
    }
    if let (Some(resident), Some(total)) = (figures.resident, figures.total.filter(|total| *total > 0)) {
        fields.push(field("mem_fragmentation_ratio", format!("{:.2}", resident as f64 / total as f64)));
    }
    let stats = server.stats();
    fields.extend([
        field("mem_clients_normal", figures.normal_clients),
        field("mem_clients_pubsub", figures.listening_clients),
        field("write_memory_bytes", stats.write_memory_bytes),
        field("index_memory_bytes", stats.index_memory_bytes),
        field("cache_memory_bytes", stats.cache_bytes),
        field("query_memory_bytes", server.queries.memory().used()),
        field("maxmemory", settings.maxmemory),
        field("maxmemory_human", human(settings.maxmemory as u64)),
        field("maxmemory_policy", "noeviction"),
        field("maxmemory_cache", settings.maxmemory_cache),
        field("maxmemory_index", settings.maxmemory_index),
        field("mem_allocator", "mimalloc"),
    ]);
    fields
}

fn persistence(server: &Server) -> Fields {
    let stats = server.stats();
    vec![
        field("loading", u8::from(server.replication.is_loading())),
        field("aof_enabled", 1),
        field("log_lsn_written", stats.lsn_written),
        field("log_lsn_durable", stats.lsn_durable),
        field("log_lsn_applied", stats.lsn_applied),
        field("log_bytes_written", stats.log_bytes_written),
        field("log_disk_bytes", stats.log_disk_bytes),
        field("aof_current_size", stats.log_disk_bytes),
        field("engine_disk_bytes", stats.engine_disk_bytes),
        field("commit_groups", stats.groups),
        field("commit_units", stats.units),
        field("checkpoints", stats.checkpoints),
        field("replayed_units", stats.replayed_units),
    ]
}

/// As Redis's bytesToHuman: `1.50M`.
fn human(bytes: u64) -> String {
    let units = [(1u64 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.2}{unit}", bytes as f64 / *size as f64),
        None => format!("{bytes}B"),
    }
}

fn stats(server: &Server) -> Fields {
    let metrics = &server.metrics;
    let store = server.stats();
    let keys = KeyCounts::of(&store).since(*metrics.keys_before.lock());
    vec![
        field("total_connections_received", metrics.connections_received.load(Relaxed)),
        field("total_commands_processed", metrics.commands_processed.load(Relaxed)),
        field("instantaneous_ops_per_sec", metrics.ops_per_second.load(Relaxed)),
        field("total_net_input_bytes", metrics.net_input_bytes.load(Relaxed)),
        field("total_net_output_bytes", metrics.net_output_bytes.load(Relaxed)),
        field("collections", store.collections),
        field("documents", store.documents),
        field("document_cache_hits", store.cache_hits),
        field("document_cache_misses", store.cache_misses),
        field("index_page_loads", store.index_loads),
        field("index_page_evictions", store.index_evictions),
        field("expired_keys", keys.expired),
        field("keyspace_hits", keys.hits),
        field("keyspace_misses", keys.misses),
        field("expired_ttl_documents", store.ttl_deleted),
        field("ttl_sweeps", store.ttl_sweeps),
        field("query_spilled_bytes", server.queries.memory().spilled()),
        field("open_cursors", server.queries.cursors()),
        field("sync_full", server.replication.syncs_full.load(Relaxed)),
        field("sync_partial_ok", server.replication.syncs_partial.load(Relaxed)),
        field("sync_partial_err", server.replication.syncs_partial_refused.load(Relaxed)),
        field("pubsub_channels", server.pubsub.count(false)),
        field("pubsub_patterns", server.pubsub.patterns()),
        field("pubsubshard_channels", server.pubsub.count(true)),
        field("instantaneous_input_kbps", kibibytes(metrics.input_per_second.load(Relaxed))),
        field("instantaneous_output_kbps", kibibytes(metrics.output_per_second.load(Relaxed))),
        field("total_reads_processed", metrics.reads_processed.load(Relaxed)),
        field("total_writes_processed", metrics.writes_processed.load(Relaxed)),
        field("acl_access_denied_auth", metrics.authentications_failed.load(Relaxed)),
        field("acl_access_denied_cmd", metrics.commands_denied.load(Relaxed)),
        field("acl_access_denied_key", metrics.keys_denied.load(Relaxed)),
        field("acl_access_denied_channel", metrics.channels_denied.load(Relaxed)),
        field("acl_access_denied_tls_cert", metrics.certificates_denied.load(Relaxed)),
        field("rejected_connections", metrics.connections_rejected.load(Relaxed)),
        field("tls_handshakes_failed", metrics.tls_handshakes_failed.load(Relaxed)),
        field("audit_records_written", server.audit.written.load(Relaxed)),
        field("audit_records_lost", server.audit.lost.load(Relaxed)),
        field("audit_failing", u8::from(server.audit.is_failing())),
        field("rate_limited_connections", server.limits.refused().0),
        field("rate_limited_requests", server.limits.refused().1 + server.acl.passwords.refused()),
        field("total_error_replies", metrics.error_replies.load(Relaxed)),
        field("client_query_buffer_limit_disconnections", metrics.query_buffer_disconnections.load(Relaxed)),
        field("client_output_buffer_limit_disconnections", metrics.output_buffer_disconnections.load(Relaxed)),
    ]
}

fn kibibytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1024.0)
}

fn cpu() -> Fields {
    let Some(times) = process::times() else { return Vec::new() };
    let seconds = |seconds: f64| format!("{seconds:.6}");
    vec![
        field("used_cpu_sys", seconds(times.system_s)),
        field("used_cpu_user", seconds(times.user_s)),
        field("used_cpu_sys_children", seconds(times.children_system_s)),
        field("used_cpu_user_children", seconds(times.children_user_s)),
    ]
}

fn commandstats(server: &Server) -> Fields {
    let figures = server.metrics.commands(&[]);
    let line = |f: crate::metrics::CommandFigures| {
        let per_call = f.usec as f64 / f.calls.max(1) as f64;
        (
            format!("cmdstat_{}", f.name),
            format!(
                "calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                f.calls, f.usec, f.rejected, f.failed
            ),
        )
    };
    figures.into_iter().map(line).collect()
}

fn latencystats(server: &Server) -> Fields {
    let settings = server.config.load();
    let percentiles = &settings.latency_percentiles;
    let line = |figures: crate::metrics::CommandFigures| {
        let pairs = percentiles.iter().zip(figures.percentiles_us?);
        let all: Vec<String> = pairs.map(|(at, us)| format!("p{at}={us}.000")).collect();
        Some((format!("latency_percentiles_usec_{}", figures.name), all.join(",")))
    };
    server.metrics.commands(percentiles).into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_proc() {
        assert_eq!(human(1_572_864), "1.50M");
        assert_eq!(cpu().len(), 4);
    }
}
