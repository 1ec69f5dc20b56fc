//! WAITAOF: until what was written before is on disk, here and on replicas.

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
    name: "WAITAOF",
    group: Group::Server,
    summary: "Waits until what was written before is on disk, here (`numlocal` 1) and on so many replicas, or for so many \
              milliseconds; 0 is without an end. With `appendfsync` other than always it is brought there at once.",
    arity: 4,
    args: &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
    categories: &["connection", "blocking"],
    flags: &["blocking"],
    reply: "array: 1 where it is on disk here, and how many replicas have it on disk",
    examples: &[("WAITAOF 1 0 0", "1) (integer) 1 2) (integer) 0")],
    run: Run::Session(waitaof),
    ..Command::BLANK
};

fn waitaof(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    if matches!(session.role(), Role::Replica { .. }) {
        return Err(CommandError::err(
            "WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
        ));
    }
    let local = bounded(args, 1, 1)?;
    let replicas = bounded(args, 2, i64::MAX as u64)?;
    let time = timeout(args, 3)?;
    if session.is_in_exec() {
        // Nothing may wait here, and whether it is on disk has not been looked at.
        let (lsn, _) = session.position();
        let replicas = session.replicas().iter().filter(|replica| replica.synced >= lsn).count() as u64;
        return Ok(answer(Waited { durable: false, replicas }));
    }
    // Asked for or not, whether it is on disk is part of the answer; only who asks waits longer than for a look.
    let time = if local == 0 && replicas == 0 { Some(std::time::Duration::ZERO) } else { time };
    session.wait(Wait { durable: true, replicas, of_replicas: true, time, unblockable: true, answer });
    Ok(Reply::OK)
}

fn answer(waited: Waited) -> Reply {
    Reply::Array(vec![Reply::Integer(waited.durable.into()), Reply::count(waited.replicas)])
}

fn bounded(args: &Args, at: usize, most: u64) -> Result<u64, CommandError> {
    let value = args.integer(at)?;
    let out_of_range = || CommandError::err(format!("value is out of range, value must between 0 and {most}"));
    u64::try_from(value).ok().filter(|value| *value <= most).ok_or_else(out_of_range)
}
