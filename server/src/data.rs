//! Opens the store as the settings ask. The only place where settings meet storage's options.

use std::sync::Arc;

use veddb_storage::seal::{MasterKeySource, Origin};
use veddb_storage::{Error, OnFatal, Options, Store};

use crate::config::Settings;
use crate::server::COMMIT_QUEUE;

/// Opens the data directory; refuses, and changes nothing, when it is not this server's to open. `on_fatal` hears of
/// the failure after which the store takes no more writes.
pub fn open(settings: &Settings, on_fatal: OnFatal) -> Result<Arc<Store>, Error> {
    let options = Options {
        databases: settings.databases,
        fsync: settings.appendfsync,
        cache_memory_bytes: settings.maxmemory_cache,
        index_memory_bytes: settings.maxmemory_index,
        log_segment_bytes: settings.log_segment_size as u64,
        // The store sends itself a few messages through the same queue; groups must never find it full.
        queue_length: COMMIT_QUEUE + 64,
        on_fatal,
        ..Options::new(&settings.dir)
    };
    let store = Arc::new(Store::open(options, &master_key(settings)?)?);
    announce(store.key_origin());
    Ok(store)
}

fn master_key(settings: &Settings) -> Result<MasterKeySource, Error> {
    let file = !settings.master_key_file.as_os_str().is_empty();
    let variable = !settings.master_key_env.is_empty();
    match (file, variable) {
        (true, true) => {
            let reason = "master-key-file and master-key-env are both set: name one of them";
            Err(Error::Refused(reason.to_owned()))
        }
        (true, false) => Ok(MasterKeySource::File(settings.master_key_file.clone())),
        (false, true) => Ok(MasterKeySource::Environment(settings.master_key_env.clone())),
        (false, false) => Ok(MasterKeySource::Unnamed),
    }
}

/// Says where the master key is, since without it the data is lost.
fn announce(origin: &Origin) {
    match origin {
        Origin::Created(path) => {
            tracing::warn!(
                "a new master key was written to {}: keep a copy elsewhere, without it the data cannot be read",
                path.display()
            );
        }
        Origin::File(path) => tracing::info!("the master key is from the file {}", path.display()),
        Origin::Credential(path) => tracing::info!("the master key is from the credential {}", path.display()),
        Origin::Environment(name) => tracing::info!("the master key is from the environment variable {name}"),
    }
}
