//! Indexes: copy-on-write B+trees of byte keys, in sealed pages.
//!
//! Owns the trees' shape in memory and on disk. Does not know what a key means, nor what LSN it is.
//!
//! Invariant: a page that a published tree can reach never changes. The committer edits in place only what no published
//! tree has seen; everything else it copies on the way down.

mod keys;
mod node;
mod page;
mod pager;
mod tree;

pub(crate) use pager::{Edit, PageId, Pager, page_key};
pub(crate) use tree::{DirtyPage, Tree};
