//! IDX.*: indexes, one file a command.

pub mod create;
pub mod drop;
pub mod list;
pub mod verify;
