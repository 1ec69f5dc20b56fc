//! ACL GETROLE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GETROLE",
    group: Group::Server,
    summary: "The rules of a role.",
    complexity: "O(n), n being the number of rules",
    arity: 3,
    args: &[Arg::string("role")],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "map: `commands keys channels`; null without such a role",
    examples: &[("ACL GETROLE clerk", "1# \"commands\" => \"-@all +@read\" ...")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let accounts = session.accounts();
    let role = accounts.roles().get(args.bytes(2));
    Ok(role.map_or(Reply::Null, |role| Reply::Map(super::selector(role.selector()))))
}
