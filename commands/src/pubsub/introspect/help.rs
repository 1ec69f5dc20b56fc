//! PUBSUB HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::PubSub,
    summary: "The subcommands of PUBSUB.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("PUBSUB HELP", "1) PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
