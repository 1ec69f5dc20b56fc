//! Documents: typed values, their stored form, their JSON, their order, paths into them and filters over them.
//!
//! Does not know where documents are kept.

pub mod record;
pub mod value;
