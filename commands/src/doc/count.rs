//! DOC.COUNT: how many documents match a filter.

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::query::exec::matching;
use crate::query::parse_filter;
use crate::query::plan::Plan;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.COUNT
pub static SPEC: Command = Command {
    name: "DOC.COUNT",
    group: Group::Document,
    summary: "Counts the documents that match a filter.",
    complexity: "O(1) without a filter or with the empty one; else O(N) with N the number of documents looked at.",
    arity: -2,
    args: &[Arg::collection(), Arg::json("filter").optional()],
    keys: Keys::FIRST,
    reply: "How many.",
    examples: &[("DOC.COUNT users", "2"), (r#"DOC.COUNT users '{"age":36}'"#, "1")],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let filter = match args.len() {
        2 => None,
        3 => Some(parse_filter(args.bytes(2), context.limits)?).filter(|filter| !filter.is_empty()),
        _ => return Err(CommandError::syntax()),
    };
    let Some(collection) = collection(args, 1, context)? else {
        return Ok(Reply::Integer(0));
    };
    let Some(filter) = filter else { return Ok(Reply::count(collection.count())) };
    let plan = Plan::new(&filter, None)?;
    let mut count = 0u64;
    matching(context, &collection, &filter, &plan, None, |_, _| {
        count += 1;
        true
    })?;
    Ok(Reply::count(count))
}
