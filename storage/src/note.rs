//! What units tell those who listen, once they are durable. Not in the log, and nobody's to wait for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::lsn::Lsn;
use crate::view::State;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// To a key.
    Key {
        /// The database.
        db: u8,
        /// A letter of Redis's `notify-keyspace-events`.
        class: char,
        /// Redis's name of the event.
        event: &'static str,
        /// The key.
        key: Box<[u8]>,
    },
    /// To a document, or a whole collection.
    Document {
        /// The database.
        db: u8,
        /// The collection's name.
        collection: String,
        /// What: `insert`, `update`, `delete` or `drop`.
        op: &'static str,
        /// The document's id, as text; empty where the collection is gone.
        id: Box<[u8]>,
        /// The document's version, of a deleted one the last; 0 where the collection is gone.
        version: u64,
    },
}

/// Told what the units of a group noted, in their order, by the committer: it must not take its time.
pub type Listener = Box<dyn Fn(Vec<Note>) + Send + Sync>;

/// Told that collections of the server's own have changed, by whoever makes a moment visible: it must not take its time.
pub type OwnWatcher = Box<dyn Fn() + Send + Sync>;

/// Who watches which collections, and their state when they changed last.
struct Watch {
    names: Vec<&'static str>,
    seen: Mutex<Vec<Option<(u32, Lsn)>>>,
    watcher: OwnWatcher,
}

/// Who listens, and to what.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) listener: OnceLock<Listener>,
    own: OnceLock<Watch>,
    keys: AtomicBool,
    documents: AtomicBool,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

impl Notes {
    /// Says which notes are wanted.
    pub(crate) fn want(&self, keys: bool, documents: bool) {
        self.keys.store(keys, Relaxed);
        self.documents.store(documents, Relaxed);
    }

    /// Has changes of these collections of database 0 told from now on, and once at the first moment after this. False where
    /// somebody watches already.
    pub(crate) fn watch_own(&self, names: &[&'static str], watcher: OwnWatcher) -> bool {
        self.own.set(Watch { names: names.to_vec(), seen: Mutex::default(), watcher }).is_ok()
    }

    /// A new moment can be seen, whoever made it.
    pub(crate) fn published(&self, state: &State) {
        let Some(watch) = self.own.get() else { return };
        let collections = state.databases.first();
        let found = |name: &&str| {
            let collection = collections?.get(*name)?;
            Some((collection.id().0, collection.changed_lsn()))
        };
        let now: Vec<_> = watch.names.iter().map(found).collect();
        let mut seen = watch.seen.lock();
        if *seen != now {
            *seen = now;
            (watch.watcher)();
        }
    }

    /// Whether those about keys are.
    pub(crate) fn of_keys(&self) -> bool {
        self.keys.load(Relaxed)
    }

    /// Whether those about documents are.
    pub(crate) fn of_documents(&self) -> bool {
        self.documents.load(Relaxed)
    }
}
