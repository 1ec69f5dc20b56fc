//! What containers share: the answer of every `X HELP`, made from the subcommands' declarations so that it cannot fall behind them.

use std::borrow::Cow;

use crate::args::Args;
use crate::error::CommandError;
use crate::reference::syntax;
use crate::reply::Reply;
use crate::spec::Command;

/// The lines in Redis's layout: a heading, then each subcommand with its sentence below it.
pub(crate) fn help(container: &Command) -> Reply {
    let mut lines: Vec<Cow<'static, str>> =
        vec![format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", container.name).into()];
    for command in container.subcommands {
        lines.push(format!("{} {}", command.name, syntax(command.args)).trim_end().to_owned().into());
        lines.push(format!("    {}", command.summary).into());
    }
    Reply::Array(lines.into_iter().map(Reply::Simple).collect())
}

/// Redis's answer to a subcommand that has more arguments than it takes.
pub(crate) fn wrong_count(container: &Command, args: &Args) -> CommandError {
    let word = String::from_utf8_lossy(args.bytes(1));
    CommandError::err(format!(
        "unknown subcommand or wrong number of arguments for '{word}'. Try {} HELP.",
        container.name
    ))
}
