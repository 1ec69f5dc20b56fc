//! What SLOWLOG, LATENCY and MEMORY are answered by: plain values that the server has measured.

use bytes::Bytes;

use crate::worked::Work;

/// A command that took long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowCommand {
    /// Ascending, never used again.
    pub id: u64,
    /// When it was answered, seconds since 1970.
    pub unix_s: u64,
    /// From the request being there to its answer being ready, microseconds.
    pub took_us: u64,
    /// The request, shortened, without its secrets.
    pub args: Vec<Bytes>,
    /// The client's address and port.
    pub addr: String,
    /// The client's name; empty when there is none.
    pub name: String,
    /// Names the request in the server's log, too.
    pub request: String,
    /// The number of its trace, where it was traced.
    pub trace: Option<String>,
    /// How it came to its answer, where it was a query.
    pub work: Option<Work>,
}

/// An event that took longer than `latency-monitor-threshold`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyEvent {
    /// `command`, `fast-command` or `commit`.
    pub name: &'static str,
    /// The longest of all time, milliseconds.
    pub max_ms: u64,
    /// The longest of each second that had one, the latest last.
    pub samples: Vec<Sample>,
}

/// The longest of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The second, since 1970.
    pub unix_s: u64,
    /// Milliseconds.
    pub took_ms: u64,
}

/// How long the calls of a command took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    /// How many calls.
    pub calls: u64,
    /// Microseconds, and how many calls took no longer; only where a bucket has any.
    pub cumulative: Vec<(u64, u64)>,
}

/// What memory is used for, bytes. A figure that the system does not give is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Of the process, in memory, without what the kernel caches of files.
    pub total: Option<u64>,
    /// The most that was resident.
    pub peak: Option<u64>,
    /// Of the process, in memory.
    pub resident: Option<u64>,
    /// Total when the server began to listen.
    pub startup: Option<u64>,
    /// Of clients that listen to nothing: their buffers and what they queued.
    pub normal_clients: u64,
    /// Of clients that listen.
    pub listening_clients: u64,
    /// Of documents and index entries that no checkpoint has written yet.
    pub writes: u64,
    /// Of index pages.
    pub indexes: u64,
    /// Of cached documents.
    pub cache: u64,
    /// Of running queries.
    pub queries: u64,
    /// Documents that there are.
    pub documents: u64,
}
