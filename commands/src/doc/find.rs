//! DOC.FIND: the documents that match a filter.

use std::sync::Arc;

use bytes::Bytes;
use veddb_storage::Document;

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::query::exec::matching;
use crate::query::parse_filter;
use crate::query::plan::Plan;
use crate::query::project::Project;
use crate::query::sort::{Sort, Top};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.FIND
pub static SPEC: Command = Command {
    name: "DOC.FIND",
    group: Group::Document,
    summary: "Finds the documents that match a filter.",
    complexity: "O(N) with N the number of documents looked at; O(1) for a filter on _id.",
    arity: -3,
    args: &[
        Arg::collection(),
        Arg::json("filter"),
        Arg::json("projection").after("PROJECT").optional(),
        Arg::json("sort").after("SORT").optional(),
        Arg::integer("skip").after("SKIP").optional(),
        Arg::integer("limit").after("LIMIT").optional(),
        Arg::string("index").after("HINT").optional(),
        Arg::word("WITHVER"),
        Arg::integer("milliseconds").after("MAXTIME").optional(),
    ],
    keys: Keys::FIRST,
    reply: "Array of documents, in the order of insertion where SORT does not say otherwise; with WITHVER an array of \
            arrays of version and document.",
    examples: &[
        (r#"DOC.FIND users '{"age":{"$gte":36}}' SORT '{"age":-1}' LIMIT 1"#, r#"[{"_id":"ada","age":36}]"#),
        (r#"DOC.FIND users '{"_id":"ada"}' PROJECT '{"age":1,"_id":0}' WITHVER"#, r#"[[1, {"age":36}]]"#),
    ],
    run: Run::Read(run),
    ..Command::BLANK
};

#[derive(Debug, Default)]
struct Options {
    project: Option<Project>,
    sort: Option<Sort>,
    skip: usize,
    /// 0 is none, as in MongoDB.
    limit: usize,
    hint: Option<String>,
    with_version: bool,
    max_time_ms: Option<u64>,
}

impl Options {
    fn parse(args: &Args, context: &ReadContext<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            if args.is(at, "WITHVER") {
                options.with_version = true;
                at += 1;
                continue;
            }
            let value = at + 1;
            if value >= args.len() {
                return Err(CommandError::syntax());
            }
            let count = || args.unsigned(value).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            if args.is(at, "PROJECT") {
                options.project = Project::parse(args.bytes(value), context.limits)?;
            } else if args.is(at, "SORT") {
                options.sort = Sort::parse(args.bytes(value), context.limits)?;
            } else if args.is(at, "SKIP") {
                options.skip = count()?;
            } else if args.is(at, "LIMIT") {
                options.limit = count()?;
            } else if args.is(at, "HINT") {
                options.hint = Some(args.text(value)?.to_owned());
            } else if args.is(at, "MAXTIME") {
                // 0 is none, as in MongoDB.
                options.max_time_ms = Some(args.unsigned(value)?).filter(|ms| *ms > 0);
            } else {
                return Err(CommandError::syntax());
            }
            at += 2;
        }
        Ok(options)
    }

    /// How many of the first documents matter.
    fn last(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.skip.saturating_add(self.limit) }
    }
}

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let filter = parse_filter(args.bytes(2), context.limits)?;
    let options = Options::parse(args, context)?;
    let plan = Plan::new(&filter, options.hint.as_deref())?;
    let Some(collection) = collection(args, 1, context)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let mut replies = Vec::new();
    match &options.sort {
        Some(sort) => {
            let mut top = Top::new(sort, options.last());
            matching(context, &collection, &filter, &plan, options.max_time_ms, |_, document| {
                top.push(document.root(), document.clone());
                true
            })?;
            replies.extend(top.finish().skip(options.skip).map(|document| reply(&options, &document)));
        }
        None => {
            let mut seen = 0;
            matching(context, &collection, &filter, &plan, options.max_time_ms, |_, document| {
                seen += 1;
                if seen > options.skip {
                    replies.push(reply(&options, &document));
                }
                seen < options.last()
            })?;
        }
    }
    Ok(Reply::Array(replies))
}

fn reply(options: &Options, document: &Arc<Document>) -> Reply {
    let body = match &options.project {
        None => document.json(),
        Some(project) => {
            let mut out = Vec::new();
            project.render(&mut out, document.root());
            Bytes::from(out)
        }
    };
    if options.with_version {
        Reply::Array(vec![Reply::count(document.version), Reply::Bulk(body)])
    } else {
        Reply::Bulk(body)
    }
}
