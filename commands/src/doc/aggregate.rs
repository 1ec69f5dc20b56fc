//! DOC.AGGREGATE: runs a pipeline.

use std::cell::RefCell;

use bytes::Bytes;
use veddb_storage::document::ValueRef;
use veddb_storage::document::json::{parse_value, render_object};

use super::collection;
use crate::args::Args;
use crate::context::{Limits, Prepared, ReadContext, WriteContext};
use crate::error::{CommandError, ErrorCode};
use crate::pipeline::memory::{Account, let_go};
use crate::pipeline::{Failure, Input, Pipeline, Row, Running, output};
use crate::queries::{Replies, all};
use crate::query::exec::Examined;
use crate::query::text_limits;
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
    named_within: Some(|args, limits| Pipeline::collections(args.bytes(2), limits)),
    flags: &["slow-read"],
    reply: "Array of documents; an empty one after $out and $merge. With CURSOR an array of a cursor, 0 when nothing is \
            left, and the first documents.",
    examples: &[(
        r#"DOC.AGGREGATE users '[{"$group":{"_id":"$age","n":{"$sum":1}}},{"$sort":{"n":-1}}]'"#,
        r#"[{"_id":36,"n":1}]"#,
    )],
    run: Run::Mixed { writes, also: "doc.bulk", read: run, write },
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

/// Whether the last stage writes. What cannot be read does not: reading it says why.
fn writes(args: &Args, limits: &Limits) -> bool {
    let text = args.bytes(2);
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    // Mostly it is plain to see; a name may also be written with escapes.
    if !has(b"$out") && !has(b"$merge") && !has(b"\\u") {
        return false;
    }
    let Ok(packed) = parse_value(text, text_limits(limits)) else { return false };
    let ValueRef::Array(list) = packed.get() else { return false };
    let Some(ValueRef::Object(last)) = list.iter().last() else { return false };
    last.iter().next().is_some_and(|(name, _)| matches!(name, "$out" | "$merge"))
}

fn write(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let options = Options::parse(args, 3)?;
    let nothing = Reply::Array(Vec::new());
    let plan = output::Plan {
        db: context.db,
        source: args.text(1)?.to_owned(),
        pipeline: Pipeline::parse(args.bytes(2), context.limits)?,
        max_time_ms: options.max_time_ms,
        reply: if options.batch.is_some() { Reply::Array(vec![Reply::count(0), nothing]) } else { nothing },
    };
    Ok(Prepared::Phased(plan.prepare()?))
}

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let options = Options::parse(args, 3)?;
    let pipeline = Pipeline::parse(args.bytes(2), context.limits)?;
    let account = Account::new(context.queries.memory());
    let examined = RefCell::new(Examined::default());
    let running = Running::new(context, options.max_time_ms, &account, &examined);
    let mut answers = Answers(pipeline.plan(collection(args, 1, context)?, &running)?.open(&running)?);
    if let Some(count) = options.batch {
        return context.queries.open(context, options.max_time_ms, account.clone(), Box::new(answers), count);
    }
    let outcome = all(&mut answers, &running);
    if let Err(error) = &outcome {
        let_go(answers, error);
    }
    outcome
}

/// Written here, where it may take its time, and not by the connection's task. `TOOBIG` for what the pipeline made larger than
/// any document.
fn reply(row: Row, limits: &Limits) -> Result<Reply, CommandError> {
    // What is too much here is held as long as the reply.
    let mut text = Vec::with_capacity(row.body().len() + row.body().len() / 4 + 64);
    render_object(&mut text, row.root());
    let most = limits.max_document_size;
    if matches!(row, Row::Made(_)) && text.len() > most {
        let message = format!("a document of the reply would have more than {most} bytes");
        return Err(CommandError::new(ErrorCode::TooBig, message));
    }
    Ok(Reply::Bulk(Bytes::from(text)))
}

/// The documents of a pipeline.
struct Answers(Input);

impl Replies for Answers {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Reply>, Failure> {
        Ok(self.0.next(running)?.map(|row| reply(row, running.context.limits)).transpose()?)
    }
}
