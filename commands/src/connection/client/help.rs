//! CLIENT HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Connection,
    summary: "The subcommands of CLIENT.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("CLIENT HELP", "1) CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
