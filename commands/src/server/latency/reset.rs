//! LATENCY RESET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RESET",
    group: Group::Server,
    summary: "Forgets these events, or all.",
    arity: -2,
    args: &[Arg::string("event").optional().multiple()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "how many events there were",
    examples: &[("LATENCY RESET", "(integer) 1")],
    run: Run::Session(reset),
    ..Command::BLANK
};

fn reset(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let events = args.from(2);
    if events.is_empty() {
        return Ok(Reply::count(session.forget_latency_events(None)));
    }
    Ok(Reply::count(events.iter().map(|event| session.forget_latency_events(Some(event))).sum::<usize>()))
}
