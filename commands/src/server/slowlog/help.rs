//! SLOWLOG HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Server,
    summary: "The subcommands of SLOWLOG.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("SLOWLOG HELP", "1) SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
