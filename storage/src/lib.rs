//! VedDB's storage: documents, the log, the key-value engine, indexes, sealing, recovery.
//!
//! Owns every byte that reaches the disk. Does not know sockets, sessions or the names of commands.
//!
//! Invariant: what the committer acknowledged is in the log; everything else on disk can be derived from the last
//! checkpoint and the log after it.

mod audit;
mod build;
mod cache;
mod checkpoint;
mod collection;
mod commit;
mod control;
#[cfg(test)]
mod damage;
pub mod document;
mod effect;
pub mod error;
mod index;
mod keys;
mod kv;
mod log;
mod lsn;
mod measured;
mod memtable;
mod names;
mod note;
mod options;
mod pace;
mod record_id;
mod recover;
mod replay;
mod replicate;
mod rotate;
mod runs;
mod scan;
pub mod schema;
pub mod seal;
mod shared;
mod space;
mod spill;
mod stats;
mod store;
#[cfg(test)]
mod testing;
mod transaction;
mod trees;
mod ttl;
mod verify;
mod view;
mod working;

pub use audit::{AUDIT_END, Audit, AuditEnd, Audited};
pub use collection::{CollectionHandle, CollectionId, OWN_PREFIX, check_name};
pub use commit::{Job, Logged};
pub use document::record::Document;
pub use error::Error;
pub use index::{
    Entry, FIELDS_BYTES_MAX, FIELDS_MAX, INDEXES_MAX, Index, IndexDefinition, IndexField, IndexSpec, SHORTENED_BYTES,
};
pub use keys::{AUDIT, KEYS, KeyValue, ROLES, SIGNING_KEYS, TOKENS, USERS, key_id, key_of, key_value, pack_key};
pub use kv::Activity;
pub use kv::fjall::OPENING_THREAD;
pub use lsn::Lsn;
pub use measured::Measured;
pub use note::{Listener, Note, OwnWatcher};
pub use options::{FsyncPolicy, OnFatal, Options};
pub use record_id::RecordId;
pub use replicate::{
    Applied, Change, ChangePlace, Changes, Event, EventKind, Export, ExportHash, ExportHeader, FollowError, Follower,
    HistoryId, PROMOTIONS_MAX, Position, RolledBack, Staged, Staging, Subscription, TermStart, Units, is_beyond_belief,
    promotions, rollback_lines,
};
pub use rotate::{DataKeys, Figures, KeyCounts, KeyStatus};
pub use scan::Scan;
pub use spill::{SpillReader, SpillWriter, Spills};
pub use stats::{Stats, Timings};
pub use store::Store;
pub use transaction::{Mark, Transaction};
pub use trees::{KeyRange, Trees, Walk};
pub use verify::Verified;
pub use view::View;
