//! ACL HELP.

use crate::server::help::help;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Server,
    summary: "The subcommands of ACL.",
    arity: 2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("ACL HELP", "1) ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ...")],
    run: Run::Session(|_, _| Ok(help(&super::SPEC))),
    ..Command::BLANK
};
