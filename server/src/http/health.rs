//! Whether the server should be sent requests now, and why not.
//!
//! Each reason is asked of what decides it: nothing is remembered here, nothing is waited for, and the disk is not asked.

use std::time::Duration;

use crate::config::Settings;
use crate::data;
use crate::replication::link::Phase;
use crate::server::Server;

/// What keeps it from being ready; nothing where it is.
pub(super) fn reasons(server: &Server) -> Vec<&'static str> {
    let settings = server.config.load();
    let replication = &server.replication;
    let store = server.store_now();
    let is_stopping = server.watch_stop().borrow().is_some();
    let found = [
        (data::has_failed(), "failed: the store cannot be trusted any more, the process ends"),
        (is_stopping, "stopping"),
        (replication.is_loading() || store.is_none(), "loading: the data are being replaced"),
        (
            replication.posture(&settings).stale,
            "refusing: the link to the primary is down, and replica-serve-stale-data is no",
        ),
        (!replication.is_replica() && replication.later_term() > 0, "deposed: it has met a primary of a later term"),
        (
            store.is_some_and(|store| store.is_out_of_space()),
            "disk: less than disk-reserve is free beside what is still to be written, writes are refused",
        ),
        (
            settings.audit.refuse_on_failure && server.audit.is_failing(),
            "audit: the audit log cannot be written, and audit-on-failure is refuse",
        ),
    ];
    let mut reasons: Vec<&str> = found.into_iter().filter_map(|(holds, why)| holds.then_some(why)).collect();
    reasons.extend(outdated(server, &settings));
    reasons
}

/// What is wrong with a replica's data. That something comes from the primary says nothing: it may be that it refuses.
fn outdated(server: &Server, settings: &Settings) -> Option<&'static str> {
    let link = server.replication.link()?;
    let lag_s_max = settings.http.lag_s_max;
    let is_late = |age: Duration| lag_s_max > 0 && age > Duration::from_secs(lag_s_max);
    match (link.state().phase, link.in_step(server.position().lsn)) {
        (Phase::Sync, _) => Some("sync: a snapshot of the primary is being read"),
        (_, None) => Some("behind: its data have not been as new as the primary's since it follows it"),
        (_, Some(at)) if is_late(at.elapsed()) => {
            Some("stale: its data have not been as new as the primary's for ready-max-lag")
        }
        _ => None,
    }
}
