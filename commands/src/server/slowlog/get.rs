//! SLOWLOG GET.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
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
    args: &[Arg::integer("count").optional()],
    flags: &["admin", "loading", "stale"],
    reply: "array of arrays: id, time in seconds since 1970, microseconds, the request (32 arguments of 128 bytes at most), the \
            client's address, its name",
    examples: &[(
        "SLOWLOG GET 1",
        "1) 1) (integer) 14 2) (integer) 1309448221 3) (integer) 15000 4) 1) \"DOC.FIND\" ...",
    )],
    run: Run::Session(get),
    ..Command::BLANK
};

fn get(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let count = match args.len() {
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
        Reply::Array(vec![
            Reply::count(slow.id),
            Reply::count(slow.unix_s),
            Reply::count(slow.took_us),
            Reply::Array(slow.args.into_iter().map(Reply::Bulk).collect()),
            Reply::text(slow.addr),
            Reply::text(slow.name),
        ])
    });
    Ok(Reply::Array(entries.collect()))
}
