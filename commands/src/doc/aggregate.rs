//! DOC.AGGREGATE: runs a pipeline.

use std::cell::RefCell;

use bytes::Bytes;
use veddb_storage::document::json::render_object;

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::pipeline::memory::Account;
use crate::pipeline::{Failure, Input, Pipeline, Row, Running};
use crate::queries::Replies;
use crate::query::exec::Examined;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.AGGREGATE
pub static SPEC: Command = Command {
    name: "DOC.AGGREGATE",
    group: Group::Document,
    summary: "Runs an aggregation pipeline.",
    complexity: "O(N) with N the number of documents that its stages look at; $sort is O(N log N).",
    arity: -3,
    args: &[
        Arg::collection(),
        Arg::json("pipeline"),
        Arg::integer("milliseconds").after("MAXTIME").optional(),
        Arg::integer("count").after("CURSOR").optional(),
    ],
    keys: Keys::FIRST,
    flags: &["slow-read"],
    reply: "Array of documents. With CURSOR an array of a cursor, 0 when nothing is left, and the first documents.",
    examples: &[(
        r#"DOC.AGGREGATE users '[{"$group":{"_id":"$age","n":{"$sum":1}}},{"$sort":{"n":-1}}]'"#,
        r#"[{"_id":36,"n":1}]"#,
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

/// What DOC.AGGREGATE takes beside the pipeline.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) max_time_ms: Option<u64>,
    pub(super) batch: Option<u64>,
}

impl Options {
    pub(super) fn parse(args: &Args, mut at: usize) -> Result<Options, CommandError> {
        let mut options = Options::default();
        while at < args.len() {
            let value = at + 1;
            if value >= args.len() {
                return Err(CommandError::syntax());
            }
            if args.is(at, "MAXTIME") {
                // 0 is none, as in MongoDB.
                options.max_time_ms = Some(args.unsigned(value)?).filter(|ms| *ms > 0);
            } else if args.is(at, "CURSOR") {
                options.batch = Some(args.unsigned(value)?);
            } else {
                return Err(CommandError::syntax());
            }
            at += 2;
        }
        Ok(options)
    }
}

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let options = Options::parse(args, 3)?;
    let pipeline = Pipeline::parse(args.bytes(2), context.limits)?;
    let account = Account::new(context.queries.memory());
    let examined = RefCell::new(Examined::default());
    let running = Running::new(context, options.max_time_ms, &account, &examined);
    let mut rows = pipeline.plan(collection(args, 1, context)?, &running)?.open(&running)?;
    if let Some(count) = options.batch {
        let account = account.clone();
        return context.queries.open(context, options.max_time_ms, account, Box::new(Answers(rows)), count);
    }
    let mut replies = Vec::new();
    while let Some(row) = rows.next(&running)? {
        replies.push(reply(row));
    }
    Ok(Reply::Array(replies))
}

fn reply(row: Row) -> Reply {
    match row {
        Row::Stored(document) => Reply::Document(document),
        Row::Made(_) => {
            let mut text = Vec::with_capacity(row.body().len() * 2);
            render_object(&mut text, row.root());
            Reply::Bulk(Bytes::from(text))
        }
    }
}

/// The documents of a pipeline.
struct Answers(Input);

impl Replies for Answers {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Reply>, Failure> {
        Ok(self.0.next(running)?.map(reply))
    }
}
