//! OBJECT ENCODING.

use veddb_storage::{KeyValue, key_value};

use super::named;
use crate::args::{Args, parse_integer};
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "ENCODING",
    group: Group::Generic,
    summary: "Says what form Redis would keep a key's value in: tools ask for it.",
    complexity: "O(1)",
    arity: 3,
    args: &[Arg::key("key")],
    keys: Keys { first: 2, last: 2, step: 1 },
    reply: "int, embstr or raw for a string, by its text; json; null without such a key",
    examples: &[("OBJECT ENCODING greeting", r#""embstr""#)],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let Some(document) = named(args, context)? else { return Ok(Reply::Null) };
    Ok(Reply::constant(match key_value(&document) {
        KeyValue::Json(_) => "json",
        KeyValue::String(text) if parse_integer(text).is_some() => "int",
        KeyValue::String(text) if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
        KeyValue::String(_) => "raw",
    }))
}

/// Redis keeps strings up to this beside their head.
const EMBEDDED_BYTES_MAX: usize = 44;
