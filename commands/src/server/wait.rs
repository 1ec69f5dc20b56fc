//! WAIT: until so many replicas have what was written before.

use crate::args::Args;
use crate::connection::client::pause::timeout;
use crate::context::Session;
use crate::error::CommandError;
use crate::replication::Role;
use crate::reply::Reply;
use crate::session::{Wait, Waited};
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "WAIT",
    group: Group::Server,
    summary: "Waits until so many replicas have what was written before, or for so many milliseconds; 0 is without an end. \
              What this server wrote is on disk by then.",
    arity: 3,
    args: &[Arg::integer("numreplicas"), Arg::integer("timeout")],
    categories: &["connection", "blocking"],
    flags: &["blocking"],
    reply: "how many replicas have it",
    examples: &[("WAIT 1 100", "(integer) 0")],
    run: Run::Session(wait),
    ..Command::BLANK
};

fn wait(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if matches!(session.role(), Role::Replica { .. }) {
        return Err(CommandError::err(
            "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let replicas = u64::try_from(args.integer(1)?).unwrap_or(0);
    let time = timeout(args, 2)?;
    if session.is_in_exec() {
        // Nothing may wait here: those are counted that have it already.
        let (lsn, _) = session.position();
        return Ok(Reply::count(session.replicas().iter().filter(|replica| replica.synced >= lsn).count()));
    }
    let answer = |waited: Waited| Reply::count(waited.replicas);
    session.wait(Wait { durable: replicas > 0, replicas, of_replicas: true, time, unblockable: true, answer });
    Ok(Reply::OK)
}
