//! AUDIT.*: what was done, by whom, and whether the record of it is as it was written. One file a command.

pub mod tail;
pub mod verify;
