//! JSON.STRAPPEND.

use veddb_storage::document::{Value, ValueRef};

use super::path::Path;
use super::update::{Change, Target, answer};
use super::{PATH, expected, parse};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.STRAPPEND",
    group: Group::Json,
    summary: "Appends to strings.",
    complexity: "O(N) of the value",
    arity: -3,
    args: &[Arg::key("key"), PATH, Arg::json("value")],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "array: how many bytes each string of the path has now, null for what is no string. In the older notation the last of these alone. The value is a JSON string, with its quotation marks",
    examples: &[(r#"JSON.STRAPPEND user:1 $.name '"!"'"#, r#"1) (integer) 4"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const CHANGE: Change =
    Change { fits: |value| matches!(value, ValueRef::String(_)), otherwise: "not a string", inner_first: false };

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let target = Target::new(args, context, "json.strappend");
    let has_path = args.len() > 3;
    let path = if has_path { Path::parse(args.bytes(2))? } else { Path::parse(b".")? };
    let more = parse(args.bytes(if has_path { 3 } else { 2 }), context.limits)?;
    let ValueRef::String(text) = more.get() else { return Err(expected("string", more.get())) };
    let added_bytes = text.len();
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change_adding(tx, &path, &CHANGE, added_bytes, |value| {
            let (Value::String(text), ValueRef::String(more)) = (value, more.get()) else { return Ok(Reply::Null) };
            text.push_str(more);
            Ok(Reply::count(text.len()))
        })?;
        answer(&path, &path.text, &CHANGE, outcomes)
    })))
}
