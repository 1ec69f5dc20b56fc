//! COMMAND GETKEYSANDFLAGS.

use super::getkeys::keys_of;
use crate::access::keys::KeyUse;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETKEYSANDFLAGS",
    group: Group::Server,
    summary: "The keys that a command line names, and what it does to each.",
    complexity: "O(n), n being the number of arguments",
    arity: -3,
    args: &[Arg::string("command"), Arg::string("arg").optional().multiple()],
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "array of arrays: key, set of flags",
    examples: &[("COMMAND GETKEYSANDFLAGS DOC.GET users 7", "1) 1) \"users\" 2) 1~ RO 2~ access")],
    run: Run::Session(getkeysandflags),
    ..Command::BLANK
};

fn getkeysandflags(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    let key = |found: KeyUse| {
        let flags = found.flags.iter().map(|flag| Reply::Simple((*flag).into()));
        Reply::Array(vec![Reply::Bulk(found.key), Reply::Set(flags.collect())])
    };
    Ok(Reply::Array(keys_of(args)?.into_iter().map(key).collect()))
}
