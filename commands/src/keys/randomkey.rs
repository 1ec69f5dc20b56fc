//! RANDOMKEY.

use bytes::Bytes;
use veddb_storage::{RecordId, key_of};

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "RANDOMKEY",
    group: Group::Generic,
    summary: "Returns some key of the database.",
    complexity: "O(1), but for gaps that deleted keys leave",
    arity: 1,
    reply: "a key, or null where there is none. A key that was made after others were deleted is more likely",
    examples: &[("RANDOMKEY", r#""greeting""#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(_args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let Some(keys) = context.view.keys(context.db) else { return Ok(Reply::Null) };
    let from = RecordId(rand::random_range(0..keys.records_end().max(1)));
    let mut found = context.view.scan_from(&keys, from).chain(context.view.scan(&keys));
    // Most users see all keys; for the others it is as much as a look at all of them.
    let mut looked = 0_u32;
    found
        .find_map(|entry| {
            looked = looked.wrapping_add(1);
            if looked.is_multiple_of(64)
                && let Err(error) = context.check(None)
            {
                return Some(Err(error));
            }
            match entry {
                Ok((_, document)) => {
                    let key = key_of(&document);
                    context.user.sees(key).then(|| Ok(Reply::Bulk(Bytes::copy_from_slice(key))))
                }
                Err(error) => Some(Err(error.into())),
            }
        })
        .unwrap_or(Ok(Reply::Null))
}
