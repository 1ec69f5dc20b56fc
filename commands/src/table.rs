//! Every command, in one table.

use crate::connection::{auth, client, cluster, echo, hello, ping, quit, readonly, readwrite, reset, select};
use crate::doc;
use crate::idx;
use crate::pubsub;
use crate::scripting::{eval, evalsha, script};
use crate::server::{command, config, dbsize, flushall, flushdb, info, lolwut, shutdown, time};
use crate::spec::Command;
use crate::transactions::{discard, exec, multi, unwatch, watch};

/// All commands, by group. The only list there is.
pub static COMMANDS: &[&Command] = &[
    // Cluster
    &cluster::SPEC,
    &readonly::SPEC,
    &readwrite::SPEC,
    // Connection
    &auth::SPEC,
    &client::SPEC,
    &echo::SPEC,
    &hello::SPEC,
    &ping::SPEC,
    &quit::SPEC,
    &reset::SPEC,
    &select::SPEC,
    // Document
    &doc::aggregate::SPEC,
    &doc::bulk::SPEC,
    &doc::collections::SPEC,
    &doc::count::SPEC,
    &doc::create::SPEC,
    &doc::cursor::SPEC,
    &doc::del::SPEC,
    &doc::delete::SPEC,
    &doc::distinct::SPEC,
    &doc::drop::SPEC,
    &doc::exists::SPEC,
    &doc::expire::SPEC,
    &doc::expireat::SPEC,
    &doc::expiretime::SPEC,
    &doc::explain::SPEC,
    &doc::find::SPEC,
    &doc::findandmodify::SPEC,
    &doc::get::SPEC,
    &doc::insert::SPEC,
    &doc::mget::SPEC,
    &doc::persist::SPEC,
    &doc::pexpire::SPEC,
    &doc::pexpireat::SPEC,
    &doc::pexpiretime::SPEC,
    &doc::pttl::SPEC,
    &doc::rename::SPEC,
    &doc::set::SPEC,
    &doc::stats::SPEC,
    &doc::ttl::SPEC,
    &doc::update::SPEC,
    // Index
    &idx::create::SPEC,
    &idx::drop::SPEC,
    &idx::list::SPEC,
    &idx::verify::SPEC,
    // Pub/sub
    &pubsub::psubscribe::SPEC,
    &pubsub::publish::SPEC,
    &pubsub::introspect::SPEC,
    &pubsub::punsubscribe::SPEC,
    &pubsub::spublish::SPEC,
    &pubsub::ssubscribe::SPEC,
    &pubsub::subscribe::SPEC,
    &pubsub::sunsubscribe::SPEC,
    &pubsub::unsubscribe::SPEC,
    // Scripting
    &eval::SPEC,
    &evalsha::SPEC,
    &script::SPEC,
    // Server
    &command::SPEC,
    &config::SPEC,
    &dbsize::SPEC,
    &flushall::SPEC,
    &flushdb::SPEC,
    &info::SPEC,
    &lolwut::SPEC,
    &shutdown::SPEC,
    &time::SPEC,
    // Transactions
    &discard::SPEC,
    &exec::SPEC,
    &multi::SPEC,
    &unwatch::SPEC,
    &watch::SPEC,
];
