//! VedDB's commands: one file a command, and the language they share.
//!
//! Owns what a command is called, what it takes, what it does and what it answers. Does not know sockets, tokio,
//! RESP's bytes or the clock: a request arrives as [`Args`], the time is handed in, an answer leaves as a [`Reply`].
//!
//! Invariant: a command exists exactly when its [`spec::Command`] constant is in [`table::COMMANDS`]; dispatch,
//! COMMAND, `docs/commands.md` and the tests read nothing else.

pub mod access;
pub mod acl;
pub mod args;
pub mod audit;
pub mod changes;
pub mod connection;
pub mod context;
pub mod doc;
pub mod error;
mod expiry;
pub mod figures;
pub mod glob;
pub mod idx;
pub mod json;
pub mod key;
pub mod keys;
mod keyspace;
pub mod language;
pub mod lookup;
pub mod pipeline;
pub mod pubsub;
pub mod queries;
pub mod query;
pub mod reference;
pub mod replication;
pub mod reply;
pub mod scripting;
pub mod server;
pub mod session;
pub mod spec;
pub mod string;
pub mod table;
pub mod token;
pub mod transactions;
pub mod worked;

pub use args::Args;
pub use error::{CommandError, ErrorCode};
pub use reply::Reply;
pub use spec::Command;
