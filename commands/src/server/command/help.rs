//! COMMAND HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Server,
    summary: "The subcommands of COMMAND.",
    arity: 2,
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("COMMAND HELP", "1) COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
