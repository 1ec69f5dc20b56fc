//! What can go wrong in storage. One enum for the crate; each message names the place.

use std::path::PathBuf;

/// A storage error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique index holds this key already.
    #[error("index {index} of collection {collection} has the key {key} already")]
    DuplicateKey {
        /// The collection.
        collection: String,
        /// The index; `_id_` is the index on `_id`.
        index: String,
        /// The key, as JSON.
        key: String,
    },
    /// The document has another version than the one named.
    #[error("the version is {current}, not {expected}")]
    VersionConflict {
        /// The version it has; 0 when it does not exist.
        current: u64,
        /// The version that was named.
        expected: u64,
    },
    /// Not a document: not JSON, not an object, a bad `_id`.
    #[error("{0}")]
    BadDocument(String),
    /// A document that does not fit its collection's schema.
    #[error("the schema of collection {collection}: {what}")]
    Schema {
        /// The collection.
        collection: String,
        /// The keyword and the place in the document.
        what: String,
    },
    /// Over a limit; the message names it.
    #[error("{0}")]
    TooBig(String),
    /// There is a collection of this name.
    #[error("collection {0} exists")]
    CollectionExists(String),
    /// There is no collection of this name.
    #[error("no such collection: {0}")]
    NoSuchCollection(String),
    /// A name that no collection may have.
    #[error("{0}")]
    BadCollectionName(String),
    /// An index that cannot be, or not beside what is there; the message says why.
    #[error("{0}")]
    BadIndex(String),
    /// Something that excludes this is going on; the message names it.
    #[error("{0}")]
    Busy(String),
    /// The disk is full; nothing was changed.
    #[error("no space: the disk is full, or less is free than disk-reserve asks for; nothing was changed")]
    NoSpace,
    /// The log cannot be written or synced; the store takes no more writes.
    #[error("the log cannot be written: {0}")]
    LogFailed(String),
    /// The store is a replica, which takes writes from its primary alone. In Redis's words.
    #[error("You can't write against a read only replica.")]
    ReadOnly,
    /// Units of the primary that come after others which are not here. Reading its log from this store's position on helps.
    #[error("units of the primary begin at LSN {found}, LSN {expected} comes next")]
    OutOfStep {
        /// The unit that comes next here.
        expected: crate::Lsn,
        /// The first of those that were to be carried out.
        found: crate::Lsn,
    },
    /// A unit of the primary that is another one than that of its LSN here: the two logs went on differently.
    #[error("the primary's unit of LSN {lsn} is of term {there:x}, the one here of term {here:x}")]
    OffLine {
        /// The LSN.
        lsn: crate::Lsn,
        /// The term of the one that is here.
        here: u64,
        /// The term of the primary's.
        there: u64,
    },
    /// The store is being closed.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The store cannot be opened; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// Bytes on disk are not what was written.
    #[error("{}: damaged at {at}: {what}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// The offset or key.
        at: String,
        /// What is wrong there.
        what: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The key-value engine failed.
    #[error("key-value engine: {0}")]
    Engine(String),
    /// A record cannot be opened: wrong key, wrong place, or changed bytes. Names the record, never its contents.
    #[error("cannot open {0}")]
    Sealing(String),
}

/// An I/O error with the file it happened on.
pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), source }
}
