//! MULTI, EXEC and the other commands of transactions. One file a command.

pub mod discard;
pub mod exec;
pub mod multi;
pub mod unwatch;
pub mod watch;
