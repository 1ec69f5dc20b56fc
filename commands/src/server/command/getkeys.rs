//! COMMAND GETKEYS.

use crate::access::keys::{KeyUse, counts_keys, has_keys, keys};
use crate::args::Args;
use crate::context::{Limits, Session};
use crate::error::CommandError;
use crate::lookup::{Lookup, find};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETKEYS",
    group: Group::Server,
    summary: "The keys (collections are keys) that a command line names.",
    complexity: "O(n), n being the number of arguments",
    arity: -3,
    args: &[Arg::string("command"), Arg::string("arg").optional().multiple()],
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "array of keys",
    examples: &[("COMMAND GETKEYS DOC.GET users 7", "1) \"users\"")],
    run: Run::Session(getkeys),
    ..Command::BLANK
};

fn getkeys(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::Array(keys_of(args)?.into_iter().map(|found| Reply::Bulk(found.key)).collect()))
}

/// The keys of the command line that follows the subcommand.
pub(super) fn keys_of(args: &Args) -> Result<Vec<KeyUse>, CommandError> {
    let inner = Args::new(args.from(2).to_vec());
    let Lookup::Found(entry) = find(&inner) else {
        return Err(CommandError::err("Invalid command specified"));
    };
    if !has_keys(entry.command) {
        return Err(CommandError::err("The command has no key arguments"));
    }
    if !entry.command.accepts(inner.len()) {
        return Err(CommandError::err("Invalid number of arguments specified for command"));
    }
    // Longer than any limit is no pipeline that could run.
    let keys = keys(entry, &inner, &Limits::default());
    if keys.is_empty() && !counts_keys(entry.command) {
        return Err(CommandError::err("Invalid arguments specified for command"));
    }
    Ok(keys)
}
