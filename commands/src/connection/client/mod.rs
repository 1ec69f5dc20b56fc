//! CLIENT: the container. One file a subcommand.

pub mod caching;
pub mod getname;
pub mod getredir;
pub mod help;
pub mod id;
pub mod info;
pub mod kill;
pub mod list;
pub mod no_evict;
pub mod no_touch;
pub mod pause;
pub mod reply;
pub mod setinfo;
pub mod setname;
pub mod traceparent;
pub mod tracking;
pub mod trackinginfo;
pub mod unblock;
pub mod unpause;

use crate::args::Args;
use crate::error::CommandError;
use crate::session::ClientInfo;
use crate::spec::{Command, Group};

/// The declaration.
pub static SPEC: Command = Command {
    name: "CLIENT",
    group: Group::Connection,
    summary: "Commands about connections.",
    complexity: "depends on the subcommand",
    arity: -2,
    subcommands: &[
        &caching::SPEC,
        &getname::SPEC,
        &getredir::SPEC,
        &help::SPEC,
        &id::SPEC,
        &info::SPEC,
        &kill::SPEC,
        &list::SPEC,
        &no_evict::SPEC,
        &no_touch::SPEC,
        &pause::SPEC,
        &reply::SPEC,
        &setinfo::SPEC,
        &setname::SPEC,
        &traceparent::SPEC,
        &tracking::SPEC,
        &trackinginfo::SPEC,
        &unblock::SPEC,
        &unpause::SPEC,
    ],
    ..Command::BLANK
};

/// ON or OFF.
fn on_or_off(args: &Args, at: usize) -> Result<bool, CommandError> {
    match (args.is(at, "ON"), args.is(at, "OFF")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(CommandError::syntax()),
    }
}

/// A kind of connections, for CLIENT LIST TYPE and CLIENT KILL TYPE. What this server itself follows is no connection of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    PubSub,
    Replica,
    None,
}

impl Kind {
    fn parse(args: &Args, at: usize) -> Result<Kind, CommandError> {
        match String::from_utf8_lossy(args.bytes(at)).to_ascii_lowercase().as_str() {
            "normal" => Ok(Kind::Normal),
            "pubsub" => Ok(Kind::PubSub),
            "replica" | "slave" => Ok(Kind::Replica),
            "master" => Ok(Kind::None),
            _ => Err(CommandError::err(format!("Unknown client type '{}'", String::from_utf8_lossy(args.bytes(at))))),
        }
    }

    fn is_of(self, client: &ClientInfo) -> bool {
        let kind = match client {
            client if client.replica => Kind::Replica,
            client if client.is_subscriber() => Kind::PubSub,
            _ => Kind::Normal,
        };
        self == kind
    }
}
