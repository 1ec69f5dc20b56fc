//! Whether the server should be sent requests now, and why not.
//!
//! Each reason is asked of what decides it: nothing is remembered here.

use std::time::Duration;

use crate::data;
use crate::replication::link::LinkState;
use crate::server::Server;

/// What keeps it from being ready; nothing where it is.
pub(super) fn reasons(server: &Server) -> Vec<&'static str> {
    let settings = server.config.load();
    let is_stopping = server.watch_stop().borrow().is_some();
    let replication = &server.replication;
    let store = server.store_now();
    let free = store.as_ref().and_then(|store| store.disk_free_bytes());
    let lag_s_max = settings.http.lag_s_max;
    let is_stale = |state: &LinkState| lag_s_max > 0 && silent(state) > Duration::from_secs(lag_s_max);
    let found = [
        (data::has_failed(), "failed: the store cannot be trusted any more, the process ends"),
        (is_stopping, "stopping"),
        (replication.is_loading() || store.is_none(), "loading: the data are being replaced"),
        (
            replication.link().is_some_and(|link| is_stale(&link.state())),
            "stale: nothing was heard of the primary for ready-max-lag",
        ),
        (!replication.is_replica() && replication.later_term() > 0, "deposed: it has met a primary of a later term"),
        (
            free.is_some_and(|free| free < settings.disk_reserve as u64),
            "disk: less than disk-reserve is free, writes are refused",
        ),
    ];
    found.into_iter().filter_map(|(holds, why)| holds.then_some(why)).collect()
}

/// How long nothing was heard of the primary; since the link is wanted where that never happened.
fn silent(state: &LinkState) -> Duration {
    state.heard.or(state.down).map_or(Duration::ZERO, |since| since.elapsed())
}
