//! DOC.DELETE: deletes the documents that match a filter.

use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::query::parse_filter;
use crate::query::write::{Change, FilteredWrite};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.DELETE
pub static SPEC: Command = Command {
    name: "DOC.DELETE",
    group: Group::Document,
    summary: "Deletes the documents that match a filter.",
    complexity: "O(N) with N the number of documents and index entries looked at; O(1) for a filter on _id.",
    arity: -3,
    args: &[Arg::collection(), Arg::json("filter"), Arg::word("ONE")],
    keys: Keys::FIRST,
    reply: "How many were deleted.",
    examples: &[(r#"DOC.DELETE users '{"age":{"$lt":18}}'"#, "1")],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    parse(args, context).map(|write| write.prepare(|outcome| Reply::count(outcome.deleted)))
}

/// The write that the arguments ask for.
pub(super) fn parse(args: &Args, context: &WriteContext<'_>) -> Result<FilteredWrite, CommandError> {
    let one = match args.len() {
        3 => false,
        4 if args.is(3, "ONE") => true,
        _ => return Err(CommandError::syntax()),
    };
    Ok(FilteredWrite {
        db: context.db,
        collection: args.text(1)?.to_owned(),
        filter: parse_filter(args.bytes(2), context.limits)?,
        change: Change::Delete,
        one,
        upsert: false,
        if_version: None,
        limits: *context.limits,
    })
}
