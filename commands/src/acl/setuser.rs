//! ACL SETUSER.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::session::{AccountChange, Later};
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SETUSER",
    group: Group::Server,
    summary: "Makes a user, or changes one: by all of the rules or by none.",
    complexity: "O(n), n being the number of rules; a password takes tens of milliseconds",
    arity: -3,
    args: &[Arg::string("username"), Arg::string("rule").optional().multiple()],
    flags: &["admin", "noscript", "loading", "stale", "may_replicate"],
    reply: "OK once the user is kept, and the connections that lost a channel are closed",
    secrets: |_, at| at > 1,
    examples: &[("ACL SETUSER ada on >secret ~orders* +role:reader", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.later(Later::Change(AccountChange::SetUser(args.bytes(2).clone(), args.from(3).to_vec())));
    Ok(Reply::Null)
}
