//! REPLICA.SYNC: has replicas read all data anew.

use super::Order;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLICA.SYNC",
    group: Group::Server,
    summary: "Has a replica, or all, read a new snapshot of all data, which takes the place of what they have when it is whole.",
    arity: 2,
    args: &[Arg::one_of("which", &[Arg::integer("id"), Arg::word("ALL")])],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "no_multi"],
    reply: "how many were told",
    examples: &[("REPLICA.SYNC ALL", "(integer) 2")],
    run: Run::Session(sync),
    ..Command::BLANK
};

fn sync(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let id = if args.is(1, "ALL") { None } else { Some(args.unsigned(1)?) };
    Ok(Reply::count(session.order(id, Order::Resync)))
}
