//! Every command, in one table.

use crate::connection::{auth, client, echo, hello, ping, quit, reset, select};
use crate::server::{command, config, dbsize, info, shutdown, time};
use crate::spec::Command;

/// All commands, by group. The only list there is.
pub static COMMANDS: &[&Command] = &[
    // Connection
    &auth::SPEC,
    &client::SPEC,
    &echo::SPEC,
    &hello::SPEC,
    &ping::SPEC,
    &quit::SPEC,
    &reset::SPEC,
    &select::SPEC,
    // Server
    &command::SPEC,
    &config::SPEC,
    &dbsize::SPEC,
    &info::SPEC,
    &shutdown::SPEC,
    &time::SPEC,
];
