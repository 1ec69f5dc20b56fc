//! LATENCY LATEST.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "LATEST",
    group: Group::Server,
    summary: "The events that took longer than `latency-monitor-threshold` milliseconds: `command` and `fast-command`, by the flag \
              `fast`, and `commit`, a group of writes from its submission until it is as durable as `appendfsync` says.",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of arrays: name, time of the latest in seconds since 1970, its milliseconds, the most there ever were",
    examples: &[("LATENCY LATEST", "1) 1) \"command\" 2) (integer) 1405067976 3) (integer) 251 4) (integer) 1001")],
    run: Run::Session(latest),
    ..Command::BLANK
};

fn latest(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let events = session.latency_events().into_iter().filter_map(|event| {
        let last = event.samples.last()?;
        Some(Reply::Array(vec![
            Reply::constant(event.name),
            Reply::count(last.unix_s),
            Reply::count(last.took_ms),
            Reply::count(event.max_ms),
        ]))
    });
    Ok(Reply::Array(events.collect()))
}
