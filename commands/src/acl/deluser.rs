//! ACL DELUSER.

use crate::access::user::DEFAULT;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DELUSER",
    group: Group::Server,
    summary: "Removes users, and closes their connections. `default` stays.",
    complexity: "O(n), n being the number of users",
    arity: -3,
    args: &[Arg::string("username").multiple()],
    flags: &["admin", "noscript", "loading", "stale", "may_replicate"],
    reply: "how many there were",
    secrets: |_, at| at > 1,
    examples: &[("ACL DELUSER ada", "(integer) 1")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.from(2).iter().any(|name| &name[..] == DEFAULT) {
        return Err(CommandError::err("The 'default' user cannot be removed"));
    }
    session.later(Later::Change(AccountChange::RemoveUsers(args.from(2).to_vec())));
    Ok(Reply::Null)
}
