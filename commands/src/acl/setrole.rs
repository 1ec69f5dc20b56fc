//! ACL SETROLE.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SETROLE",
    group: Group::Server,
    summary: "Makes a role, or changes one: by all of the rules or by none. Who has it has what it says from then on.",
    complexity: "O(n), n being the number of rules and of users",
    arity: -3,
    args: &[Arg::string("role"), Arg::string("rule").optional().multiple()],
    flags: &["admin", "noscript", "loading", "stale", "may_replicate"],
    reply: "OK",
    examples: &[("ACL SETROLE clerk +@read %R~orders*", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.later(Later::Change(AccountChange::SetRole(args.bytes(2).clone(), args.from(3).to_vec())));
    Ok(Reply::Null)
}
