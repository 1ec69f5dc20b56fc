//! JSON.ARRINDEX.

use veddb_storage::document::{RawArray, ValueRef};

use super::path::Path;
use super::same::same;
use super::{expected, find, no_path, parse};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.ARRINDEX",
    group: Group::Json,
    summary: "Looks for a value in arrays.",
    complexity: "O(N) of the value",
    arity: -4,
    args: &[
        Arg::key("key"),
        Arg::string("path"),
        Arg::json("value"),
        Arg::block("range", &[Arg::integer("start"), Arg::integer("stop").optional()]).optional(),
    ],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: the index at which each array of the path first has an equal value, -1 where it has none, null for what is no array. In the older notation that of the first alone. Looked at is what stands from start up to stop, not included; a stop of 0 is the end, and negative ones count from it. An integer equals no double",
    examples: &[(r#"JSON.ARRINDEX user:1 $.tags 2"#, r#"1) (integer) 1"#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let path = Path::parse(args.bytes(2))?;
    let start = if args.len() > 4 { args.integer(4)? } else { 0 };
    let stop = if args.len() > 5 { args.integer(5)? } else { 0 };
    if args.len() > 6 {
        return Err(CommandError::arity("json.arrindex"));
    }
    let found = find(args, 1, context)?;
    let wanted = parse(args.bytes(3), context.limits)?;
    let Some(found) = found else { return Err(no_path(&path.original, "")) };
    let index = |value| match value {
        ValueRef::Array(elements) => Some(Reply::Integer(index_of(elements, wanted.get(), start, stop))),
        _ => None,
    };
    if !path.legacy {
        let values = found.values(&path)?.into_iter();
        return Ok(Reply::Array(values.map(|value| index(value).unwrap_or(Reply::Null)).collect()));
    }
    let value = found.first(&path)?.ok_or_else(|| no_path(&path.text, ""))?;
    index(value).ok_or_else(|| expected("array", value))
}

fn index_of(elements: RawArray<'_>, wanted: ValueRef<'_>, start: i64, stop: i64) -> i64 {
    let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
    let start = if start < 0 { length.saturating_add(start).max(0) } else { start.min(length - 1) };
    let stop = match stop {
        0 => length,
        stop if stop < 0 => length.saturating_add(stop).max(0),
        stop => stop.min(length),
    };
    let places = (0..length).zip(elements.iter()).filter(|(at, _)| (start..stop).contains(at));
    places.into_iter().find(|(_, value)| same(*value, wanted, equal)).map_or(-1, |(at, _)| at)
}

/// An integer equals no double.
fn equal(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Null, ValueRef::Null) => true,
        (ValueRef::Bool(a), ValueRef::Bool(b)) => a == b,
        // An integer of few digits has 32 bits wherever it comes from.
        (ValueRef::Int32(a), ValueRef::Int32(b)) => a == b,
        (ValueRef::Int64(a), ValueRef::Int64(b)) => a == b,
        (ValueRef::Double(a), ValueRef::Double(b)) => a == b,
        (ValueRef::String(a), ValueRef::String(b)) => a == b,
        _ => false,
    }
}
