//! DOC.COLLECTIONS.

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::glob;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.COLLECTIONS",
    group: Group::Document,
    summary: "Lists the collections of the selected database.",
    complexity: "O(C log C) of its collections",
    arity: -1,
    args: &[Arg::new("glob", ArgKind::Pattern).after("MATCH").optional()],
    reply: "a sorted array of names",
    examples: &[("DOC.COLLECTIONS MATCH u*", "1) \"users\"")],
    run: Run::Read(collections),
    ..Command::BLANK
};

fn collections(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let pattern = match args.len() {
        1 => None,
        3 if args.is(1, "MATCH") => Some(args.bytes(2)),
        _ => return Err(CommandError::syntax()),
    };
    let mut all = context.view.collections(context.db);
    all.retain(|collection| context.user.sees(collection.name().as_bytes()));
    let wanted = all.iter().filter(|c| pattern.is_none_or(|p| glob::matches(p, c.name().as_bytes(), false)));
    Ok(Reply::Array(wanted.map(|c| Reply::text(c.name())).collect()))
}
