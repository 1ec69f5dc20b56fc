//! REPLICA.ADD: has another server follow this one.

use super::port;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLICA.ADD",
    group: Group::Server,
    summary: "Asks the server there, with `masteruser` and `masterauth`, to follow this one (REPLICAOF).",
    complexity: "O(1); waits for its answer, five seconds at most",
    arity: 3,
    args: &[Arg::string("host"), Arg::integer("port")],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "no_multi"],
    reply: "OK once it has agreed; what it said where it has not",
    examples: &[("REPLICA.ADD 10.0.0.2 6379", "OK")],
    run: Run::Session(add),
    ..Command::BLANK
};

fn add(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    session.recruit(args.text(1)?, port(args, 2)?)?;
    Ok(Reply::OK)
}
