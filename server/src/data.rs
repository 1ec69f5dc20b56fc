//! Opens the store as the settings ask. The only place where settings meet storage's options.

use std::sync::Arc;

use veddb_storage::{Error, Options, Store};

use crate::config::Settings;

/// Opens the data directory; refuses, and changes nothing, when it is not this server's to open.
pub fn open(settings: &Settings) -> Result<Arc<Store>, Error> {
    Store::open(Options {
        dir: settings.dir.clone(),
        fsync: settings.appendfsync,
        cache_bytes: settings.maxmemory_cache,
        index_bytes: settings.maxmemory_index,
        segment_bytes: settings.log_segment_size,
    })
}
