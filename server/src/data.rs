//! Opens the store as the settings ask. The only place where settings meet storage's options.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use veddb_storage::seal::{CIPHER, MasterKeySource, SEALS};
use veddb_storage::{Error, Options, Store};

use crate::config::Settings;
use crate::server::COMMIT_QUEUE;

/// Raised when a store has failed; the process ends soon after.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether a store has failed.
pub(crate) fn has_failed() -> bool {
    FAILED.load(Relaxed)
}

/// How long the clients of a failed store have to hear of it.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Opens the data directory; refuses, and changes nothing, when it is not this server's to open.
pub fn open(settings: &Settings) -> Result<Arc<Store>, Error> {
    if !SEALS {
        tracing::error!(
            cipher = CIPHER,
            "this build stores everything IN THE CLEAR: it is for tests/benches/sealing alone"
        );
    }
    let store = Store::open(options(settings), &master_key(settings)?)?;
    tracing::info!(
        master_key = %store.data_keys().origin(),
        replayed_units = store.stats().replayed_units,
        documents = store.stats().documents,
        "the store is open"
    );
    Ok(Arc::new(store))
}

/// Storage's options, as the settings ask.
pub(crate) fn options(settings: &Settings) -> Options {
    Options {
        databases: settings.databases,
        fsync: settings.appendfsync,
        cache_memory_bytes: settings.maxmemory_cache,
        index_memory_bytes: settings.maxmemory_index,
        write_memory_bytes: settings.maxmemory_writes,
        index_build_memory_bytes: settings.maxmemory_index_build,
        ttl_sweep_ms: settings.ttl_sweep_s * 1000,
        log_segment_bytes: settings.log_segment_size as u64,
        replica: settings.replicaof.is_some(),
        log_pinned_bytes_max: settings.repl_log_size,
        log_kept_bytes: settings.changes_log_size,
        export_age_ms_max: settings.repl_snapshot_max_age_s * 1000,
        disk_reserve_bytes: settings.disk_reserve as u64,
        // The server's permits keep jobs below this; the rest is for the store's own messages.
        queue_length: COMMIT_QUEUE + 16,
        on_fatal: Arc::new(fatal),
        ..Options::new(&settings.dir)
    }
}

/// Where the settings say that the master key is.
pub(crate) fn master_key(settings: &Settings) -> Result<MasterKeySource, Error> {
    let file = !settings.master_key_file.as_os_str().is_empty();
    let variable = !settings.master_key_env.is_empty();
    match (file, variable) {
        (true, true) => {
            // Taking one of them silently would open, or make, a store under a key that was not meant.
            let reason = "master-key-file and master-key-env are both set: name one of them";
            Err(Error::Refused(reason.to_owned()))
        }
        (true, false) => Ok(MasterKeySource::File(settings.master_key_file.clone())),
        (false, true) => Ok(MasterKeySource::Environment(settings.master_key_env.clone())),
        (false, false) => Ok(MasterKeySource::Unnamed),
    }
}

/// After a failed sync nobody knows what is on disk. The next start reads what is there, so the best this process can do
/// is to end.
pub(crate) fn fatal(error: &Error) {
    FAILED.store(true, Relaxed);
    tracing::error!(%error, "the store has failed; the server ends, and the next start recovers from the log");
    std::thread::spawn(|| {
        std::thread::sleep(LAST_WORDS);
        std::process::exit(1);
    });
}
