//! ACL CAT.

use crate::access::category::{CATEGORIES, categories, find};
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::lookup::entries;
use crate::reply::Reply;
use crate::server::help::wrong_count;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "CAT",
    group: Group::Server,
    summary: "The categories of commands, or the commands of one.",
    complexity: "O(n), n being the number of commands",
    arity: -2,
    args: &[Arg::string("category").optional()],
    flags: &["noscript", "loading", "stale"],
    reply: "array of names",
    examples: &[("ACL CAT idx", "1) \"idx.create\" ...")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    let Some(wanted) = args.get(2) else {
        return Ok(Reply::Array(CATEGORIES.iter().map(|name| Reply::constant(name)).collect()));
    };
    if args.len() > 3 {
        return Err(wrong_count(&super::SPEC, args));
    }
    let Some(category) = find(wanted) else {
        let shown = String::from_utf8_lossy(wanted.get(..128).unwrap_or(wanted)).into_owned();
        return Err(CommandError::err(format!("Unknown category '{shown}'")));
    };
    let within = entries().iter().filter(|entry| categories(entry.command).contains(&category));
    Ok(Reply::Array(within.map(|entry| Reply::text(&*entry.name)).collect()))
}
