//! HELLO, AUTH, PING, CLIENT and the other commands about the connection itself. One file a command.

pub mod auth;
pub mod client;
pub mod cluster;
pub mod echo;
pub mod hello;
pub mod ping;
pub mod quit;
pub mod readonly;
pub mod readwrite;
pub mod reset;
pub mod select;

use crate::error::CommandError;

/// What CLUSTER, READONLY and READWRITE answer, which clients send to learn that there is no cluster.
fn no_cluster() -> CommandError {
    CommandError::err("This instance has cluster support disabled")
}

/// Redis's rule for names: printable ASCII without spaces, so that a name cannot break the lines of CLIENT LIST.
pub(crate) fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|b| (b'!'..=b'~').contains(b))
}
