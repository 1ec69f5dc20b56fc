//! CLUSTER, READONLY and READWRITE, which clients send to learn that there is no cluster. One file a command.

#[allow(clippy::module_inception, reason = "the command CLUSTER")]
pub mod cluster;
pub mod readonly;
pub mod readwrite;

use crate::error::CommandError;

fn disabled() -> CommandError {
    CommandError::err("This instance has cluster support disabled")
}
