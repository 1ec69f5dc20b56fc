//! Indexes: copy-on-write B+trees of byte keys, in sealed pages.
//!
//! Owns the trees' shape in memory and on disk. Does not know what a key means, nor what LSN it is.
//!
//! Invariant: a page that a published tree can reach never changes. The committer edits in place only what no published
//! tree has seen; everything else it copies on the way down.

mod apply;
mod entry;
mod expiry;
mod ids;
mod keys;
mod load;
mod node;
mod page;
mod pager;
mod ranges;
mod recent;
mod scan;
mod spec;
mod state;
mod tree;

pub(crate) use apply::Change;
pub(crate) use entry::Entries;
pub use entry::{Entry, FIELDS_BYTES_MAX, SHORTENED_BYTES};
pub(crate) use expiry::{EXPIRIES, expired_range, expiries, expiry_edit, expiry_key};
pub(crate) use ids::ReservedIds;
pub(crate) use load::Loader;
pub(crate) use pager::{Edit, Freed, PageId, Pager, page_key};
pub(crate) use recent::Recent;
pub(crate) use scan::Cursor;
pub use spec::{FIELDS_MAX, INDEXES_MAX, IndexDefinition, IndexField, IndexSpec};
pub use state::Index;
pub(crate) use state::{DUPLICATE, Delta, IndexEdit, Phase, edits};
pub(crate) use tree::{DirtyPage, Tree};
