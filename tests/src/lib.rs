//! The harness of the suites in `tests/`: starts the real binary, talks RESP to it, kills it.
//!
//! Owns processes, ports and temporary directories, all of which end with the test. Sees the server only from outside:
//! its socket, its files, its exit status and its log.

pub mod client;
pub mod collector;
pub mod disk;
pub mod http;
pub mod linear;
pub mod network;
pub mod proxy;
pub mod random;
pub mod redis;
pub mod script;
pub mod sentinel;
pub mod server;
pub mod until;
pub mod value;

pub use client::{Client, request};
pub use collector::{Collector, Manner};
pub use disk::SmallDisk;
pub use network::Network;
pub use proxy::Proxy;
pub use random::Random;
pub use redis::Redis;
pub use server::{Options, Server};
pub use until::{PATIENCE, until};
pub use value::Value;

use std::path::PathBuf;

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// A number from the environment, such as how many rounds a suite goes; `default` when it is not set.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// The seed of a suite: `VEDDB_SEED`, or from the clock. Printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let seed = setting("VEDDB_SEED", u64::try_from(now).unwrap_or(0));
    println!("VEDDB_SEED={seed}");
    seed
}
