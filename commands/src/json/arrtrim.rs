//! JSON.ARRTRIM.

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
    name: "JSON.ARRTRIM",
    group: Group::Json,
    summary: "Keeps a part of arrays: from one index to another, both included.",
    complexity: "O(N) of the value",
    arity: 5,
    args: &[Arg::key("key"), Arg::string("path"), Arg::integer("start"), Arg::integer("stop")],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "array: how long each array of the path is now, null for what is no array. In the older notation the last of these alone. Negative indexes count from the end",
    examples: &[(r#"JSON.ARRTRIM user:1 $.tags 1 2"#, r#"1) (integer) 2"#)],
    run: Run::Write(run),
    ..Command::BLANK
};

const CHANGE: Change =
    Change { fits: |value| matches!(value, ValueRef::Array(_)), otherwise: "not an array", inner_first: true };

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (target, path) = (Target::new(args, context, "json.arrtrim"), Path::parse(args.bytes(2))?);
    let (start, stop) = (args.integer(3)?, args.integer(4)?);
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change(tx, &path, &CHANGE, |value| {
            let Value::Array(elements) = value else { return Ok(Reply::Null) };
            trim(elements, start, stop);
            Ok(Reply::count(elements.len()))
        })?;
        answer(&path, &path.text, &CHANGE, outcomes)
    })))
}

fn trim(elements: &mut Vec<Value>, start: i64, stop: i64) {
    let length = elements.len();
    let absolute = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { length.saturating_sub(distance) } else { distance }
    };
    let (start, stop) = (absolute(start), absolute(stop));
    elements.truncate(stop.saturating_add(1));
    elements.drain(..start.min(elements.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept() {
        for (start, stop, expected) in [
            (0, -1, "012"),
            (1, 1, "1"),
            (-2, 99, "12"),
            (-99, 0, "0"),
            (-99, -99, "0"),
            (2, 1, ""),
            (3, 9, ""),
            (i64::MIN, i64::MAX, "012"),
            (i64::MAX, i64::MIN, ""),
        ] {
            let mut elements: Vec<Value> = (0..3).map(Value::Int32).collect();
            trim(&mut elements, start, stop);
            let left: String = elements.iter().filter_map(Value::as_integer).map(|n| n.to_string()).collect();
            assert_eq!(left, expected, "{start} {stop}");
            let mut none = Vec::new();
            trim(&mut none, start, stop);
            assert!(none.is_empty());
        }
    }
}
