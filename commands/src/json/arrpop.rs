//! JSON.ARRPOP.

use veddb_storage::document::codec::pack_value;
use veddb_storage::document::{Value, ValueRef};

use super::layout::{Format, Layout};
use super::update::{Change, Target, answer};
use super::{path_at, text};
use crate::args::{Args, parse_integer};
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.ARRPOP",
    group: Group::Json,
    summary: "Takes an element out of arrays.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[
        Arg::key("key"),
        Arg::one_of(
            "format",
            &[Arg::word("STRINGS").required(), Arg::word("EXPAND1").required(), Arg::word("EXPAND").required()],
        )
        .after("FORMAT")
        .optional(),
        Arg::block("path-and-index", &[Arg::string("path"), Arg::integer("index").optional()]).optional(),
    ],
    keys: Keys::FIRST,
    flags: &[],
    reply: "array: the element that each array of the path lost, as JSON, null for an empty array and what is no array. In the older notation the last of these alone. The index is -1, the last, where none is said; one that is out of the array is its first or last. Under RESP3 FORMAT has elements answered as values, EXPAND1, and those in them too, EXPAND",
    examples: &[(r#"JSON.ARRPOP user:1 $.tags"#, r#"1) "3""#)],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let target = Target::new(args, context, "json.arrpop");
    let (mut format, mut at) = (Format::Text, 2);
    // Alone the word is a path.
    if args.is(at, "FORMAT") && args.len() > at + 1 {
        format = match &**args.bytes(at + 1) {
            b"STRINGS" => Format::Text,
            other => Format::parse(other).filter(|format| *format != Format::Text).ok_or_else(Format::unknown)?,
        };
        if !context.resp3 {
            return Err(CommandError::err("FORMAT argument is not supported on RESP2"));
        }
        at += 2;
    }
    let path = path_at(args, at)?;
    if path.legacy && format != Format::Text {
        return Err(CommandError::err("Legacy paths are supported only with FORMAT STRINGS"));
    }
    // RedisJSON takes whatever is no number for the last.
    let index = args.get(at + 1).and_then(|index| parse_integer(index)).unwrap_or(-1);
    let change = Change {
        fits: if path.legacy {
            |value| matches!(value, ValueRef::Array(_))
        } else {
            // An empty one loses nothing.
            |value| matches!(value, ValueRef::Array(elements) if !elements.is_empty())
        },
        otherwise: "not an array",
        inner_first: false,
    };
    Ok(Prepared::Unit(Box::new(move |tx| {
        let outcomes = target.change(tx, &path, &change, |value| {
            let Value::Array(elements) = value else { return Ok(Reply::Null) };
            let Some(last) = elements.len().checked_sub(1) else { return Ok(Reply::Null) };
            let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            let at = if index < 0 { elements.len().saturating_sub(distance) } else { distance.min(last) };
            let lost = pack_value(&elements.remove(at));
            Ok(if format == Format::Text { text(lost.get()) } else { format.reply(lost.get(), &Layout::default()) })
        })?;
        answer(&path, &path.text, &change, outcomes)
    })))
}
