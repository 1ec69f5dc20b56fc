//! AUDIT.TAIL: the records of the audit log.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// AUDIT.TAIL
pub static SPEC: Command = Command {
    name: "AUDIT.TAIL",
    group: Group::Server,
    summary: "The last records of the audit log, or those from a position on; oldest first.",
    complexity: "O(N) of the records of the files that are read.",
    arity: -1,
    args: &[Arg::integer("n").optional(), Arg::integer("position").after("FROM").optional()],
    flags: &["admin", "no_multi", "slow-read"],
    reply: "Array of JSON texts, n of them at most (10; no more than 10,000).",
    examples: &[(
        "AUDIT.TAIL 1",
        r#"[{"position":7,"at":1790000000000,"event":"config","command":"config|set","user":"default",..}]"#,
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

/// So many are answered at most: they are held in memory.
const RECORDS_MAX: i64 = 10_000;

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let mut at = 1;
    let mut count = 10;
    if args.get(at).is_some() && !args.is(at, "FROM") {
        count = args.integer(at)?;
        at += 1;
    }
    if !(0..=RECORDS_MAX).contains(&count) {
        return Err(CommandError::err(format!("n must be between 0 and {RECORDS_MAX}")));
    }
    let count = usize::try_from(count).unwrap_or_default();
    let audit = context.view.audit();
    let records = if args.get(at).is_none() {
        audit.tail(count)?
    } else if args.is(at, "FROM") && args.len() == at + 2 {
        let from = u64::try_from(args.integer(at + 1)?).map_err(|_| CommandError::err("a position is not negative"))?;
        audit.read(from, count)?
    } else {
        return Err(CommandError::syntax());
    };
    Ok(Reply::Array(records.into_iter().map(|(position, text)| Reply::text(placed(position, &text))).collect()))
}

/// A record as it is shown: with its position before what it says.
fn placed(position: u64, text: &str) -> String {
    format!(r#"{{"position":{position},{}"#, text.strip_prefix('{').unwrap_or(text))
}
