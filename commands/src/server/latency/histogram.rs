//! LATENCY HISTOGRAM.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::figures::Latencies;
use crate::lookup::{Entry, by_name, entries};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "HISTOGRAM",
    group: Group::Server,
    summary: "How long the calls of these commands took, or of all that were called.",
    complexity: "O(n), n being the number of commands",
    arity: -2,
    args: &[Arg::string("command").optional().multiple()],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "map of command to a map: `calls`, and `histogram_usec`, a map of microseconds to how many calls took no longer",
    examples: &[(
        "LATENCY HISTOGRAM doc.get",
        "1# \"doc.get\" => 1# \"calls\" => (integer) 2 2# \"histogram_usec\" => 1# (integer) 33 => (integer) 2",
    )],
    run: Run::Session(histogram),
    ..Command::BLANK
};

fn histogram(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let mut found = Vec::new();
    let mut add = |entry: &'static Entry| {
        if let Some(latencies) = session.latencies(entry.index) {
            found.push((Reply::text(&*entry.name), reply(latencies)));
        }
    };
    if args.len() == 2 {
        entries().iter().for_each(&mut add);
    }
    for entry in args.from(2).iter().filter_map(|name| by_name(name)) {
        add(entry);
        // A container's subcommands follow it.
        let subs = entries().iter().skip(entry.index + 1).take(entry.command.subcommands.len());
        subs.for_each(&mut add);
    }
    Ok(Reply::Map(found))
}

fn reply(latencies: Latencies) -> Reply {
    let buckets = latencies.cumulative.into_iter().map(|(us, calls)| (Reply::count(us), Reply::count(calls)));
    Reply::Map(vec![
        (Reply::constant("calls"), Reply::count(latencies.calls)),
        (Reply::constant("histogram_usec"), Reply::Map(buckets.collect())),
    ])
}
