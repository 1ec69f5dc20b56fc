//! VedDB's server: the listener, RESP, connections, gates, settings, figures and logs.
//!
//! Owns everything between the socket and a command. Does not know how data lies on the disk: storage is reached
//! through [`veddb_storage::Store`] and what commands are handed.
//!
//! Invariant: a request passes the gates of [`dispatch`] exactly once, and its reply is sent in its turn.

pub mod acl;
pub mod audit;
pub mod changes;
pub mod client;
pub mod config;
pub mod connection;
mod current;
pub mod data;
pub mod dispatch;
pub mod encode;
pub mod execute;
pub mod framer;
pub mod http;
mod identity;
mod info;
pub mod key_status;
mod latency;
pub mod limits;
pub mod listener;
mod memory;
pub mod metrics;
mod monitor;
mod multi;
pub mod notify;
mod pause;
mod process;
pub mod processor;
mod pubsub;
pub mod quoting;
mod replication;
pub mod rollback;
pub mod scrape;
pub mod server;
mod session;
mod slowlog;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod traces;

pub use server::Server;
