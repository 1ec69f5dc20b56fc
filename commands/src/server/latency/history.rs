//! LATENCY HISTORY.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HISTORY",
    group: Group::Server,
    summary: "The last 160 seconds in which an event took long, with the longest of each.",
    arity: 3,
    args: &[Arg::string("event")],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "array of arrays: seconds since 1970, milliseconds",
    examples: &[("LATENCY HISTORY command", "1) 1) (integer) 1405067822 2) (integer) 251")],
    run: Run::Session(history),
    ..Command::BLANK
};

fn history(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let wanted = args.bytes(2);
    let event = session.latency_events().into_iter().find(|event| event.name.as_bytes() == &wanted[..]);
    let samples = event.map(|event| event.samples).unwrap_or_default();
    let sample = |sample: crate::figures::Sample| vec![Reply::count(sample.unix_s), Reply::count(sample.took_ms)];
    Ok(Reply::Array(samples.into_iter().map(|one| Reply::Array(sample(one))).collect()))
}
