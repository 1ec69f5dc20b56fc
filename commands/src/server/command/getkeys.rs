//! COMMAND GETKEYS.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::lookup::{Lookup, find};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

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
    let inner = Args::new(args.from(2).to_vec());
    let Lookup::Found(entry) = find(&inner) else {
        return Err(CommandError::err("Invalid command specified"));
    };
    if entry.command.keys == Keys::NONE {
        return Err(CommandError::err("The command has no key arguments"));
    }
    if !entry.command.accepts(inner.len()) {
        return Err(CommandError::err("Invalid number of arguments specified for command"));
    }
    Ok(Reply::Array(keys(entry.command.keys, &inner).into_iter().map(Reply::Bulk).collect()))
}

/// The arguments at the key positions.
fn keys(keys: Keys, args: &Args) -> Vec<bytes::Bytes> {
    let count = i32::try_from(args.len()).unwrap_or(i32::MAX);
    let last = if keys.last < 0 { count + keys.last } else { keys.last };
    let step = usize::try_from(keys.step).unwrap_or(1).max(1);
    let positions = (keys.first..=last).step_by(step).filter_map(|at| usize::try_from(at).ok());
    positions.filter_map(|at| args.get(at).cloned()).collect()
}
