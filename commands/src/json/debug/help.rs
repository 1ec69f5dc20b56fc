//! JSON.DEBUG HELP.

use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HELP",
    group: Group::Json,
    summary: "The subcommands of JSON.DEBUG.",
    arity: -2,
    flags: &["loading", "stale"],
    reply: "array of lines",
    examples: &[("JSON.DEBUG HELP", "1) MEMORY <key> [path] - reports memory usage 2) ...")],
    run: Run::Session(|_, _| {
        let lines = ["MEMORY <key> [path] - reports memory usage", "HELP                - this message"];
        Ok(Reply::Array(lines.into_iter().map(Reply::constant).collect()))
    }),
    ..Command::BLANK
};
