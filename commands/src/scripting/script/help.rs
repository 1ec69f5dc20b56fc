//! SCRIPT HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Scripting,
    summary: "The subcommands of SCRIPT.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("SCRIPT HELP", "1) SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
