//! JSON.ARRINSERT.

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
    name: "JSON.ARRINSERT",
    group: Group::Json,
    summary: "Inserts values into arrays, before an index.",
    complexity: "O(N) of the value",
    arity: -5,
    args: &[Arg::key("key"), Arg::string("path"), Arg::integer("index"), Arg::json("value").multiple()],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "array: how long each array of the path is now, null for what is no array. In the older notation the last of these alone. A negative index counts from the end; one that is out of an array is an error",
    examples: &[(r#"JSON.ARRINSERT user:1 $.tags 0 0"#, r#"1) (integer) 5"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const CHANGE: Change =
    Change { fits: |value| matches!(value, ValueRef::Array(_)), otherwise: "not an array", inner_first: true };

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.arrinsert"), Path::parse(args.bytes(2))?);
    let index = args.integer(3)?;
    let more = parse_all(args, 4, context.limits)?;
    let more: Vec<Value> = more.iter().map(|value| value.get().to_value()).collect();
    let added_bytes = more.iter().map(text_bytes_min).sum();
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change_adding(tx, &path, &CHANGE, added_bytes, |value| {
            let Value::Array(elements) = value else { return Ok(Reply::Null) };
            let length = elements.len();
            let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            let at = if index < 0 { length.checked_sub(from_end) } else { Some(from_end) };
            let at = at.filter(|at| *at <= length).ok_or_else(|| CommandError::err("index out of bounds"))?;
            elements.splice(at..at, more.iter().cloned());
            Ok(Reply::count(elements.len()))
        })?;
        answer(&path, &path.text, &CHANGE, outcomes)
    })))
}
