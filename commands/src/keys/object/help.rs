//! OBJECT HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Generic,
    summary: "The subcommands of OBJECT.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("OBJECT HELP", "1) OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
