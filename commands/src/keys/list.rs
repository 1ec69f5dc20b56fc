//! KEYS.

use bytes::Bytes;
use veddb_storage::key_of;

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::glob;
use crate::queries;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "KEYS",
    group: Group::Generic,
    summary: "Returns the keys that match a glob. SCAN does it in steps.",
    complexity: "O(N) of the keys of the database",
    arity: 2,
    args: &[Arg::new("pattern", ArgKind::Pattern)],
    categories: &["dangerous"],
    reply: "array of keys, in no order that is promised",
    examples: &[("KEYS g*", r#"1) "greeting""#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let Some(keys) = context.view.keys(context.db) else { return Ok(Reply::Array(Vec::new())) };
    let pattern = args.bytes(1);
    let all = pattern.as_ref() == b"*";
    let mut seen = 0_u32;
    let found = context.view.scan(&keys).filter_map(|next| {
        seen = seen.wrapping_add(1);
        if seen.is_multiple_of(64)
            && let Err(error) = context.check(None)
        {
            return Some(Err(error));
        }
        match next {
            Ok((_, document)) => {
                let key = key_of(&document);
                let fits = (all || glob::matches(pattern, key, false)) && context.user.sees(key);
                fits.then(|| Ok(Reply::Bulk(Bytes::copy_from_slice(key))))
            }
            Err(error) => Some(Err(error.into())),
        }
    });
    queries::gather(context, found)
}
