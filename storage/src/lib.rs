//! VedDB's storage: documents, the log, the key-value engine, indexes, sealing, recovery.
//!
//! Owns every byte that reaches the disk. Does not know sockets, sessions or the names of commands.
//!
//! Invariant: what [`commit`] acknowledged is in the log; everything else on disk can be derived from the last
//! checkpoint and the log after it.

pub mod document;
pub mod error;
pub mod store;

pub use document::record::Document;
pub use error::Error;
pub use store::{CollectionHandle, FsyncPolicy, Job, Options, RecordId, Store, Transaction, View};
