//! DOC.FIND: the documents that match a filter.

use std::cell::RefCell;
use std::sync::Arc;

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::pipeline::Running;
use crate::pipeline::memory::Account;
use crate::queries::all;
use crate::query::exec::Examined;
use crate::query::find::{Query, planning_cost};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.FIND
pub static SPEC: Command = Command {
    name: "DOC.FIND",
    group: Group::Document,
    summary: "Finds the documents that match a filter.",
    complexity: "O(N) with N the number of documents and index entries looked at; O(1) for a filter on _id.",
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
        Arg::integer("count").after("CURSOR").optional(),
    ],
    keys: Keys::FIRST,
    reply: "Array of documents, in the order of insertion where SORT does not say otherwise; with WITHVER an array of \
            arrays of version and document. With CURSOR an array of a cursor, 0 when nothing is left, and the first of \
            them.",
    examples: &[
        (r#"DOC.FIND users '{"age":{"$gte":36}}' SORT '{"age":-1}' LIMIT 1"#, r#"[{"_id":"ada","age":36}]"#),
        (r#"DOC.FIND users '{"_id":"ada"}' PROJECT '{"age":1,"_id":0}' WITHVER"#, r#"[[1, {"age":36}]]"#),
    ],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    context.afford(planning_cost(args.bytes(2)))?;
    let query = Query::parse(args, 2, context.limits)?;
    let Some(collection) = collection(args, 1, context)? else {
        return query.without_collection();
    };
    let choice = query.choose(context, &collection)?;
    context.afford(choice.cost)?;
    context.planned(&choice.plan);
    let (batch, max_time_ms) = (query.batch, query.max_time_ms);
    let account = Account::new(context.queries.memory());
    let examined = RefCell::new(Examined::default());
    let running = Running::new(context, max_time_ms, &account, &examined);
    let mut answer = query.open(&running, &collection, &choice.plan)?;
    choice.plan.note_use(context.now_ms);
    if let Some(count) = batch {
        return context.queries.open(context, max_time_ms, Arc::clone(&account), Box::new(answer), count);
    }
    all(&mut answer, &running)
}
