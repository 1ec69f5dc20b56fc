//! WAIT: until so many replicas have what was written before. There are no replicas yet, so the answer is 0.

use crate::args::Args;
use crate::connection::client::pause::timeout;
use crate::context::Session;
use crate::error::CommandError;
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
    let replicas = u64::try_from(args.integer(1)?).unwrap_or(0);
    let time = timeout(args, 2)?;
    if replicas > 0 && !session.is_in_exec() {
        let answer = |waited: Waited| Reply::count(waited.replicas);
        session.wait(Wait { durable: true, replicas, time, unblockable: true, answer });
    }
    Ok(Reply::Integer(0))
}
