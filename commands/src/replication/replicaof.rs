//! REPLICAOF: follow another server, or none.

use super::port;
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "REPLICAOF",
    group: Group::Server,
    summary: "Has this server become an exact copy of another one, and stay one; or, with NO ONE, a primary by itself. Data of \
              another history are not overwritten unless FORCE says so: `master_link_error` of INFO replication tells.",
    arity: -3,
    args: ARGS,
    categories: &["admin", "dangerous"],
    flags: &["admin", "noscript", "stale"],
    reply: "OK, before the first contact",
    examples: &[("REPLICAOF 10.0.0.1 6379", "OK"), ("REPLICAOF NO ONE", "OK")],
    run: Run::Session(run),
    ..Command::BLANK
};

/// Those of SLAVEOF, too.
pub(super) static ARGS: &[Arg] = &[Arg::one_of(
    "args",
    &[
        Arg::block("host-port", &[Arg::string("host"), Arg::integer("port"), Arg::word("FORCE")]),
        Arg::block("no-one", &[Arg::word("NO").required(), Arg::word("ONE").required()]),
    ],
)];

pub(super) fn run(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let force = args.len() == 4 && args.is(3, "FORCE");
    if args.len() > 3 && !force {
        return Err(CommandError::syntax());
    }
    if args.is(1, "NO") && args.is(2, "ONE") && !force {
        session.follow_nobody()?;
        return Ok(Reply::OK);
    }
    let port = port(args, 2)?;
    let is_new = session.follow(args.text(1)?, port, force)?;
    Ok(if is_new { Reply::OK } else { Reply::Simple("OK Already connected to specified master".into()) })
}
