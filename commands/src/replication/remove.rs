//! REPLICA.REMOVE: has a replica follow nobody.

use super::Order;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLICA.REMOVE",
    group: Group::Server,
    summary: "Tells a replica to follow nobody (REPLICAOF NO ONE): it is a primary by itself from then on.",
    arity: 2,
    args: &[Arg::integer("id")],
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "no_multi"],
    reply: "1, or 0 where there is no replica of this id",
    examples: &[("REPLICA.REMOVE 12", "(integer) 1")],
    run: Run::Session(remove),
    ..Command::BLANK
};

fn remove(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    Ok(Reply::count(session.order(Some(args.unsigned(1)?), Order::Leave)))
}
