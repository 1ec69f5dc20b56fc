//! CONFIG GET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GET",
    group: Group::Server,
    summary: "The settings whose name matches one of the globs.",
    complexity: "O(n), n being the number of settings",
    arity: -3,
    args: &[Arg::string("parameter").multiple()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "map of setting to value",
    examples: &[("CONFIG GET max*-depth", "1) \"max-document-depth\" 2) \"128\"")],
    run: Run::Session(get),
    ..Command::BLANK
};

fn get(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pattern in args.from(2) {
        for (name, value) in session.config_get(pattern) {
            if !found.iter().any(|(seen, _)| *seen == name) {
                found.push((name, value));
            }
        }
    }
    Ok(Reply::Map(found.into_iter().map(|(name, value)| (Reply::text(name), Reply::text(value))).collect()))
}
