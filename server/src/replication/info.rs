//! INFO replication, in the order of Redis: Sentinel reads it line by line and wants `role` before what depends on it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::link::{LinkState, Phase, seconds};
use crate::info::field;
use crate::server::Server;

/// Its fields.
pub(crate) fn fields(server: &Server) -> Vec<(String, String)> {
    let (settings, replication) = (server.config.load(), &server.replication);
    let position = server.position();
    let mut fields = Vec::new();
    match replication.link() {
        None => fields.push(field("role", "master")),
        Some(link) => {
            let state = link.state();
            fields.extend([
                field("role", "slave"),
                field("master_host", &link.primary.host),
                field("master_port", link.primary.port),
                field("master_link_status", if state.phase == Phase::Connected { "up" } else { "down" }),
                field("master_last_io_seconds_ago", if state.down.is_some() { -1 } else { seconds(state.heard) }),
                field("master_sync_in_progress", u8::from(state.phase == Phase::Sync)),
                field("slave_read_repl_offset", state.received.max(position.lsn)),
                field("slave_repl_offset", position.lsn),
            ]);
            fields.extend(trouble(&state));
            fields.extend([
                field("slave_priority", settings.replica_priority),
                field("slave_read_only", 1),
                field("replica_announced", u8::from(settings.replica_announced)),
            ]);
        }
    }
    let replicas = replication.feeds.infos();
    fields.push(field("connected_slaves", replicas.len()));
    if settings.min_replicas_to_write > 0 && settings.min_replicas_max_lag_s > 0 {
        fields.push(field("min_slaves_good_slaves", replication.feeds.good(settings.min_replicas_max_lag_s)));
    }
    for (at, replica) in replicas.iter().enumerate() {
        let (ip, port, state) = (&replica.ip, replica.port, replica.state);
        let (written, lag) = (replica.written, replica.lag_s);
        fields.push(field(
            &format!("slave{at}"),
            format!("ip={ip},port={port},state={state},offset={written},lag={lag}"),
        ));
    }
    fields.extend([
        field("master_failover_state", replication.failover.state()),
        // As long as Redis's; like that it is another one after each promotion.
        field("master_replid", format!("{}{:08x}", hex::encode(position.history), position.term & 0xffff_ffff)),
        field("master_repl_offset", position.lsn),
        field("history_id", hex::encode(position.history)),
        field("term", format!("{:x}", position.term)),
        field("lsn_synced", server.lsn_synced()),
        field("later_term_met", u8::from(replication.later_term() > 0)),
        field("rollback_files", replication.rollbacks.load(Relaxed)),
        field("rollback_units", replication.rolled_back_units.load(Relaxed)),
    ]);
    fields
}

/// What a replica says of a link that is not up.
fn trouble(state: &LinkState) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if state.phase == Phase::Sync {
        let (total, read) = (state.sync_total, state.sync_read);
        fields.extend([
            field("master_sync_total_bytes", total),
            field("master_sync_read_bytes", read),
            field("master_sync_left_bytes", total.saturating_sub(read)),
            field("master_sync_perc", format!("{:.2}", read as f64 * 100.0 / total.max(1) as f64)),
            field("master_sync_last_io_seconds_ago", seconds(state.heard)),
        ]);
    }
    if state.phase != Phase::Connected {
        let down = state.down.or_else(|| Some(Instant::now()));
        fields.push(field("master_link_down_since_seconds", seconds(down)));
        fields.push(field("master_link_error", &state.error));
    }
    fields
}
