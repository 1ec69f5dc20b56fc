//! JSON.TOGGLE.

use veddb_storage::document::{Value, ValueRef};

use super::path::Path;
use super::update::{Change, Target, answer};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.TOGGLE",
    group: Group::Json,
    summary: "Turns booleans over.",
    complexity: "O(N) of the value",
    arity: 3,
    args: &[Arg::key("key"), Arg::string("path")],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: 1 or 0, what each boolean of the path is now, null for what is none. In the older notation the last of them, as JSON",
    examples: &[(r#"JSON.TOGGLE user:1 $.on"#, r#"1) (integer) 0"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const CHANGE: Change =
    Change { fits: |value| matches!(value, ValueRef::Bool(_)), otherwise: "not a bool", inner_first: false };

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.toggle"), Path::parse(args.bytes(2))?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change(tx, &path, &CHANGE, |value| {
            let Value::Bool(on) = value else { return Ok(Reply::Null) };
            *on = !*on;
            Ok(if path.legacy { Reply::text(on.to_string()) } else { Reply::Integer(i64::from(*on)) })
        })?;
        answer(&path, &path.text, &CHANGE, outcomes)
    })))
}
