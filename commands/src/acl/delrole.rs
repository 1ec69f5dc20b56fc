//! ACL DELROLE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DELROLE",
    group: Group::Server,
    summary: "Removes roles that nobody has. Those that are ready made stay.",
    complexity: "O(n), n being the number of roles and of users",
    arity: -3,
    args: &[Arg::string("role").multiple()],
    flags: &["admin", "noscript", "loading", "stale", "may_replicate"],
    reply: "how many there were",
    examples: &[("ACL DELROLE clerk", "(integer) 1")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.later(Later::Change(AccountChange::RemoveRoles(args.from(2).to_vec())));
    Ok(Reply::Null)
}
