//! The store that is there, and what is known of it while another one takes its place.
//!
//! Invariant: whoever answers a client never waits for a store: there is one, or the data are being replaced, and that is the answer.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};
use veddb_commands::{CommandError, ErrorCode};
use veddb_storage::{Lsn, Position, Stats, Store};

use crate::dispatch::LOADING;
use crate::metrics::KeyCounts;
use crate::server::Server;

/// One store or none.
#[derive(Debug)]
pub(crate) struct Current {
    store: ArcSwapOption<Store>,
    /// As it was when it was taken away.
    last: Mutex<Option<Figures>>,
    replacing: Mutex<()>,
    replaced: Condvar,
}

/// What is told of a store also while it is away.
#[derive(Debug, Clone, Copy)]
struct Figures {
    position: Position,
    synced: Lsn,
    stats: Stats,
}

impl Current {
    /// This one.
    pub(crate) fn new(store: Arc<Store>) -> Current {
        Current {
            store: ArcSwapOption::new(Some(store)),
            last: Mutex::default(),
            replacing: Mutex::default(),
            replaced: Condvar::new(),
        }
    }

    /// What this says of the store, or else of its last figures.
    fn told<T: Default>(&self, of_store: impl FnOnce(&Store) -> T, of_last: impl Fn(&Figures) -> T) -> T {
        match self.store.load_full() {
            Some(store) => of_store(&store),
            None => self.last.lock().as_ref().map(of_last).unwrap_or_default(),
        }
    }
}

impl Server {
    /// The data. While one store takes another's place there is none, which is waited for, as long as it takes to open one: for
    /// threads that may, and for who holds `changing`, when there is one. Whoever answers clients asks [`Server::loaded`].
    pub fn store(&self) -> Arc<Store> {
        if let Some(store) = self.store_now() {
            return store;
        }
        tokio::task::block_in_place(|| {
            let mut replacing = self.current.replacing.lock();
            loop {
                if let Some(store) = self.store_now() {
                    return store;
                }
                self.current.replaced.wait(&mut replacing);
            }
        })
    }

    /// The data, if they are there.
    pub(crate) fn store_now(&self) -> Option<Arc<Store>> {
        self.current.store.load_full()
    }

    /// The data.
    ///
    /// # Errors
    /// `LOADING` while they are being replaced.
    pub(crate) fn loaded(&self) -> Result<Arc<Store>, CommandError> {
        self.store_now().ok_or_else(|| CommandError::new(ErrorCode::Loading, LOADING))
    }

    /// The last unit that was written.
    pub(crate) fn position(&self) -> Position {
        let none = || Position { history: [0; 16], term: 0, lsn: 0 };
        self.current.told(|store| Some(store.position()), |last| Some(last.position)).unwrap_or_else(none)
    }

    /// The last unit that is on disk.
    pub(crate) fn lsn_synced(&self) -> Lsn {
        self.current.told(|store| store.position_durable().lsn, |last| last.synced)
    }

    /// The figures of the data.
    pub(crate) fn stats(&self) -> Stats {
        self.current.told(Store::stats, |last| last.stats)
    }

    /// Takes the store away, until [`Server::set_store`]: who had it keeps it until it is done.
    pub(crate) fn take_store(&self) -> Option<Arc<Store>> {
        if let Some(store) = self.store_now() {
            let (position, synced, stats) = (store.position(), store.position_durable().lsn, store.stats());
            *self.current.last.lock() = Some(Figures { position, synced, stats });
        }
        self.current.store.swap(None)
    }

    /// Has these be the data from now on, as the settings want them.
    pub(crate) fn set_store(&self, store: Arc<Store>) {
        self.config.unchanged(|settings| {
            // What was changed since it was opened; whoever changes more finds it there.
            store.set_fsync_policy(settings.appendfsync);
            store.set_ttl_sweep_ms(settings.ttl_sweep_s * 1000);
            store.want_notes(settings.notify_keyspace_events.is_on(), settings.notify_doc_events);
            store.set_memory_budgets(settings.maxmemory_index, settings.maxmemory_cache);
            store.set_log_kept_bytes(settings.changes_log_size);
            let _replacing = self.current.replacing.lock();
            // It begins to count anew.
            *self.metrics.keys_before.lock() = KeyCounts::default();
            self.current.store.store(Some(store));
            self.current.replaced.notify_all();
        });
    }
}
