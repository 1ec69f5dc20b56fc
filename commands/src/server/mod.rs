//! INFO, CONFIG, COMMAND, SHUTDOWN and the other commands about the server. One file a command.

pub mod command;
pub mod config;
pub mod dbsize;
pub(crate) mod help;
pub mod info;
pub mod lolwut;
pub mod shutdown;
pub mod time;
