//! Commands about replication, and the plain values in which they speak of it with the server. One file a command.

pub mod add;
pub mod failover;
pub mod follow;
pub mod list;
pub mod psync;
pub mod remove;
pub mod replconf;
pub mod replicaof;
pub mod slaveof;
pub mod sync;
pub mod sync_redis;

use std::time::Duration;

use crate::args::Args;
use crate::error::CommandError;

/// The number of the form in which a primary and a replica speak. Another one is refused.
pub const LINK_FORMAT: u64 = 1;

/// What a server is among those that replicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary {
        /// The last unit written.
        lsn: u64,
        /// Who follows it.
        replicas: Vec<ReplicaInfo>,
    },
    /// It follows another one.
    Replica {
        /// Where that is.
        host: String,
        /// Its port.
        port: u16,
        /// How far the link is, in the words of ROLE.
        state: &'static str,
        /// The last unit written; none before the first contact.
        lsn: Option<u64>,
    },
}

/// One replica, as its primary sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// The number of its connection.
    pub id: u64,
    /// Where it listens.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// `send_bulk` while it gets a snapshot, then `online`.
    pub state: &'static str,
    /// The last unit that it has written.
    pub written: u64,
    /// The last unit that it has synced.
    pub synced: u64,
    /// Seconds since it was last heard of.
    pub lag_s: u64,
}

/// What a replica asks for when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowRequest {
    /// The replica's run id.
    pub run_id: String,
    /// The address that it announces; empty is the one that it connects from.
    pub ip: String,
    /// The port that it listens on.
    pub port: u16,
    /// The history of its data.
    pub history: [u8; 16],
    /// The term of its last unit.
    pub term: u64,
    /// Its last unit.
    pub lsn: u64,
    /// The terms of its log and their first units, the latest last.
    pub terms: Vec<(u64, u64)>,
    /// The promotions that it knows of beyond those of the receiver are its own, and it gives them up.
    pub yields: bool,
    /// The snapshot that it had begun to read, and the first chunk that it lacks.
    pub resume: Option<([u8; 16], u64)>,
    /// It has no data that would be lost, or was told to lose it.
    pub blank: bool,
    /// It wants all data anew.
    pub full: bool,
    /// The receiver is to promote itself first: the sender was its primary and hands over; which handing over it is.
    pub handover: Option<u64>,
    /// It is to do so although it has not all that the sender has.
    pub force: bool,
    /// It is not to do so any more, unless it has.
    pub aborts: bool,
}

/// What REPLICA.REMOVE and REPLICA.SYNC tell a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To follow nobody.
    Leave,
    /// To read all data anew.
    Resync,
}

/// What FAILOVER asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverRequest {
    /// The replica that takes over; none is whichever is up to date first.
    pub target: Option<(String, u16)>,
    /// How long its being up to date is waited for.
    pub timeout: Option<Duration>,
    /// After that time it takes over all the same.
    pub force: bool,
}

/// The longest address that a replica may announce: that of a name of DNS.
const ADDRESS_BYTES_MAX: usize = 253;

/// Whether that can be an address that a replica is listed under: a name or a number, of which INFO makes a line and `/metrics` a label.
pub fn is_address(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_%".contains(&byte);
    (1..=ADDRESS_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// A port among the arguments, in Redis's words where it is none.
fn port(args: &Args, at: usize) -> Result<u16, CommandError> {
    let port = args.integer(at).ok().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| CommandError::err("Invalid master port"))
}
