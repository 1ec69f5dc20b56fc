//! FUNCTION HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Scripting,
    summary: "The subcommands of FUNCTION.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("FUNCTION HELP", "1) FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
