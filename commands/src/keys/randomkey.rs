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
    match found.next() {
        Some(entry) => Ok(Reply::Bulk(Bytes::copy_from_slice(key_of(&entry?.1)))),
        None => Ok(Reply::Null),
    }
}
