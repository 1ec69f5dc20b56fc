//! DOC.COUNT: how many documents match a filter.

use veddb_storage::CollectionHandle;

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::query::exec::{Examined, Run as RunPlan, matching};
use crate::query::find::{Query, planning_cost};
use crate::query::parse_filter;
use crate::query::plan::Plan;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.COUNT
pub static SPEC: Command = Command {
    name: "DOC.COUNT",
    group: Group::Document,
    summary: "Counts the documents that match a filter.",
    complexity: "O(1) without a filter or with the empty one; O(log N) where an index has just the matches; else O(N) with \
                 N the number of documents and index entries looked at.",
    arity: -2,
    args: &[Arg::collection(), Arg::json("filter").optional()],
    keys: Keys::FIRST,
    reply: "How many.",
    examples: &[("DOC.COUNT users", "2"), (r#"DOC.COUNT users '{"age":36}'"#, "1")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    context.afford(planning_cost(args.bytes(2)))?;
    let filter = match args.len() {
        2 => None,
        3 => Some(parse_filter(args.bytes(2), context.limits)?).filter(|filter| !filter.is_empty()),
        _ => return Err(CommandError::syntax()),
    };
    let Some(collection) = collection(args, 1, context)? else {
        return Ok(Reply::Integer(0));
    };
    let Some(filter) = filter else { return Ok(Reply::count(context.view.count(&collection)?)) };
    let query = Query::count(filter);
    let choice = query.choose(context, &collection)?;
    context.afford(choice.cost)?;
    let counted = count(context, &collection, &query, &choice.plan, &mut Examined::default())?;
    choice.plan.note_use(context.now_ms);
    Ok(Reply::count(counted))
}

/// How many documents match.
pub(super) fn count(
    context: &ReadContext<'_>,
    collection: &CollectionHandle,
    query: &Query,
    plan: &Plan,
    examined: &mut Examined,
) -> Result<u64, CommandError> {
    if query.filter.is_empty() {
        return Ok(context.view.count(collection)?);
    }
    context.planned(plan);
    if let Plan::Index(plan) = plan
        && plan.exact
        && context.view.expired(collection)? == 0
    {
        // The tree counts what is between two keys without walking there: two keys are looked up for each range.
        let keys = 2 * plan.ranges.len() as u64;
        context.examined(Examined { keys, documents: 0 });
        examined.keys += keys;
        return Ok(plan.entries);
    }
    let mut count = 0;
    let covered = covered(context, collection, query, plan)?;
    let run = RunPlan { filter: &query.filter, plan, first: usize::MAX, covered, max_time_ms: None };
    matching(context, collection, run, examined, &mut |_, _| {
        count += 1;
        true
    })?;
    Ok(count)
}

/// Whether the filter reads nothing but fields of the plan's index.
pub(super) fn covered(
    context: &ReadContext<'_>,
    collection: &CollectionHandle,
    query: &Query,
    plan: &Plan,
) -> Result<bool, CommandError> {
    let Plan::Index(plan) = plan else { return Ok(false) };
    let fields = &plan.index.spec().fields;
    let inside = |path: &String| fields.iter().any(|field| field.text == *path);
    let covered = !plan.index.has_multikey() && query.filter.paths().iter().all(inside);
    // What has expired may still have its entries.
    Ok(covered && context.view.expired(collection)? == 0)
}
