//! JSON.CLEAR.

use veddb_storage::document::{Object, Value, ValueRef};

use super::update::{Change, Target};
use super::{PATH, path_at};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.CLEAR",
    group: Group::Json,
    summary: "Empties objects and arrays, and sets numbers to 0.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[Arg::key("key"), PATH],
    keys: Keys::FIRST,
    flags: &[],
    reply: "how many were changed. What is empty or 0 already, and what is neither object nor array nor number, is not",
    examples: &[(r#"JSON.CLEAR user:1 $.tags"#, r#"(integer) 1"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const CHANGE: Change = Change {
    fits: |value| match value {
        ValueRef::Array(elements) => !elements.is_empty(),
        ValueRef::Object(members) => !members.is_empty(),
        ValueRef::Int32(n) => n != 0,
        ValueRef::Int64(n) => n != 0,
        ValueRef::Double(n) => n != 0.0,
        _ => false,
    },
    otherwise: "",
    inner_first: false,
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    // RedisJSON takes several paths and looks at the first.
    let (target, path) = (Target::new(args, context, "json.clear"), path_at(args, 2)?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change(tx, &path, &CHANGE, |value| {
            match value {
                Value::Array(elements) => elements.clear(),
                Value::Object(Object(members)) => members.clear(),
                number => *number = Value::Int32(0),
            }
            Ok(())
        })?;
        Ok(Reply::count(outcomes.into_iter().flatten().count()))
    })))
}
