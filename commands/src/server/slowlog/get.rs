//! SLOWLOG GET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::figures::SlowCommand;
use crate::reply::Reply;
use crate::server::help::wrong_count;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GET",
    group: Group::Server,
    summary: "The last commands that took longer than `slowlog-log-slower-than`, the latest first: 10, so many, or all (-1). \
              The time includes waiting for the disk; of a transaction EXEC is listed, with the time of all of it.",
    complexity: "O(n), n being the number of commands answered",
    arity: -2,
    args: &[Arg::integer("count").optional(), Arg::word("FULL")],
    flags: &["admin", "loading", "stale"],
    reply: "array of arrays: id, time in seconds since 1970, microseconds, the request (32 arguments of 128 bytes at most), the \
            client's address, its name; with `FULL` also a map: `request-id`, which names the request in the server's log, where it was \
            traced `trace-id`, and of queries `plan` (as DOC.EXPLAIN names it, with the index), `keys-examined` and `docs-examined`",
    examples: &[(
        "SLOWLOG GET 1",
        "1) 1) (integer) 14 2) (integer) 1309448221 3) (integer) 15000 4) 1) \"DOC.FIND\" ...",
    )],
    run: Run::Session(get),
    ..Command::BLANK
};

fn get(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    // Some clients read six fields and no more, so there are more only for who asks for them.
    let full = args.len() > 2 && args.is(args.len() - 1, "FULL");
    let count = match args.len() - usize::from(full) {
        2 => 10,
        3 => args
            .integer(2)
            .ok()
            .filter(|count| *count >= -1)
            .ok_or_else(|| CommandError::err("count should be greater than or equal to -1"))?,
        _ => return Err(wrong_count(&super::SPEC, args)),
    };
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let entries = session.slow_commands(most).into_iter().map(|slow| {
        let more = full.then(|| more(&slow));
        let mut fields = vec![
            Reply::count(slow.id),
            Reply::count(slow.unix_s),
            Reply::count(slow.took_us),
            Reply::Array(slow.args.into_iter().map(Reply::Bulk).collect()),
            Reply::text(slow.addr),
            Reply::text(slow.name),
        ];
        fields.extend(more);
        Reply::Array(fields)
    });
    Ok(Reply::Array(entries.collect()))
}

fn more(slow: &SlowCommand) -> Reply {
    let mut more = vec![(Reply::constant("request-id"), Reply::text(slow.request.clone()))];
    if let Some(trace) = &slow.trace {
        more.push((Reply::constant("trace-id"), Reply::text(trace.clone())));
    }
    if let Some(work) = &slow.work {
        more.push((Reply::constant("plan"), Reply::text(work.plan.clone())));
        more.push((Reply::constant("keys-examined"), Reply::count(work.examined.keys)));
        more.push((Reply::constant("docs-examined"), Reply::count(work.examined.documents)));
    }
    Reply::Map(more)
}
