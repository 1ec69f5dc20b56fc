//! DOC.CURSOR: reads on in what a query left.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// DOC.CURSOR
pub static SPEC: Command = Command {
    name: "DOC.CURSOR",
    group: Group::Document,
    summary: "A container for cursor commands.",
    complexity: "Depends on the subcommand.",
    arity: -2,
    subcommands: &[&READ, &DEL],
    ..Command::BLANK
};

/// How many documents a read gives when it does not say.
const COUNT: u64 = 101;

static READ: Command = Command {
    name: "READ",
    group: Group::Document,
    summary: "Reads on in a cursor that DOC.FIND or DOC.AGGREGATE opened.",
    complexity: "O(N) with N the number of documents that have to be looked at for these.",
    arity: -3,
    args: &[Arg::integer("cursor"), Arg::integer("count").after("COUNT").optional()],
    flags: &["slow-read"],
    reply: "Array of the cursor, 0 when nothing is left, and an array of documents. NOCURSOR when it was closed: by \
            DOC.CURSOR DEL, at its end, because nobody read for cursor-timeout seconds, or after cursor-max-age seconds; and to other users, and when the rights of its user have \
            changed.",
    examples: &[("DOC.CURSOR READ 7023371932431212113 COUNT 2", r#"[0, [{"_id":"ada","age":36}]]"#)],
    run: Run::Read(read),
    ..Command::BLANK
};

static DEL: Command = Command {
    name: "DEL",
    group: Group::Document,
    summary: "Closes a cursor.",
    arity: 3,
    args: &[Arg::integer("cursor")],
    reply: "1, or 0 when there is no such cursor.",
    examples: &[("DOC.CURSOR DEL 7023371932431212113", "1")],
    run: Run::Read(del),
    ..Command::BLANK
};

fn read(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let count = match args.len() {
        3 => COUNT,
        5 if args.is(3, "COUNT") => args.unsigned(4)?,
        _ => return Err(CommandError::syntax()),
    };
    context.queries.read(context, args.unsigned(2)?, count)
}

fn del(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    Ok(Reply::Integer(i64::from(context.queries.close(context, args.unsigned(2)?))))
}
