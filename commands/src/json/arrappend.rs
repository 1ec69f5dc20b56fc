//! JSON.ARRAPPEND.

use veddb_storage::document::{Value, ValueRef};

use super::growth::text_bytes_min;
use super::parse_all;
use super::path::Path;
use super::update::{Change, Target, answer};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.ARRAPPEND",
    group: Group::Json,
    summary: "Appends values to arrays.",
    complexity: "O(N) of the value",
    arity: -4,
    args: &[Arg::key("key"), Arg::string("path"), Arg::json("value").multiple()],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "array: how long each array of the path is now, null for what is no array. In the older notation the last of these alone",
    examples: &[(r#"JSON.ARRAPPEND user:1 $.tags 4"#, r#"1) (integer) 4"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const CHANGE: Change =
    Change { fits: |value| matches!(value, ValueRef::Array(_)), otherwise: "not an array", inner_first: false };

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.arrappend"), Path::parse(args.bytes(2))?);
    let more = parse_all(args, 3, context.limits)?;
    let more: Vec<Value> = more.iter().map(|value| value.get().to_value()).collect();
    let added_bytes = more.iter().map(text_bytes_min).sum();
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change_adding(tx, &path, &CHANGE, added_bytes, |value| {
            let Value::Array(elements) = value else { return Ok(Reply::Null) };
            elements.extend(more.iter().cloned());
            Ok(Reply::count(elements.len()))
        })?;
        answer(&path, &path.original, &CHANGE, outcomes)
    })))
}
