//! INFO, CONFIG, COMMAND, SHUTDOWN and the other commands about the server. One file a command.

pub mod command;
pub mod config;
pub mod dbsize;
pub mod debug;
pub mod flushall;
pub mod flushdb;
pub(crate) mod help;
pub mod info;
pub mod lastsave;
pub mod latency;
pub mod lolwut;
pub mod memory;
pub mod module;
pub mod monitor;
pub mod role;
pub mod shutdown;
pub mod slowlog;
pub mod time;
pub mod wait;
pub mod waitaof;

use std::ops::RangeInclusive;

use veddb_storage::KEYS;

use crate::args::Args;
use crate::context::Prepared;
use crate::error::CommandError;
use crate::reply::Reply;

/// Drops every collection and all keys of these databases, in one unit.
fn flush(args: &Args, databases: RangeInclusive<u8>) -> Result<Prepared, CommandError> {
    if args.len() > 2 || (args.len() == 2 && !args.is(1, "ASYNC") && !args.is(1, "SYNC")) {
        return Err(CommandError::syntax());
    }
    Ok(Prepared::Unit(Box::new(move |tx| {
        for db in databases {
            for name in tx.collections(db) {
                tx.drop_collection(db, &name)?;
            }
            tx.drop_own_collection(db, KEYS)?;
        }
        Ok(Reply::OK)
    })))
}
