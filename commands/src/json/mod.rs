//! JSON.*: JSON values under keys, as the module RedisJSON has them. One file a command, and the few things they share.
//!
//! Values are plain JSON: `{"$oid": ..}` is an object of one member. Paths are RedisJSON's (`path/`).

pub mod arrappend;
pub mod arrindex;
pub mod arrinsert;
pub mod arrlen;
pub mod arrpop;
pub mod arrtrim;
pub mod clear;
pub mod debug;
pub mod del;
pub mod forget;
pub mod get;
mod growth;
mod layout;
pub mod merge;
pub mod mget;
pub mod mset;
mod number;
pub mod numincrby;
pub mod nummultby;
pub mod objkeys;
pub mod objlen;
mod path;
pub mod resp;
mod same;
pub mod set;
pub mod strappend;
pub mod strlen;
pub mod toggle;
pub mod r#type;
mod update;

use std::cell::RefCell;
use std::sync::Arc;

use veddb_storage::document::json::{parse_plain, render_value};
use veddb_storage::document::{Packed, ValueRef};
use veddb_storage::{Document, Error, KeyValue, key_value};

use crate::args::Args;
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};
use crate::pipeline::memory::{Account, Held};
use crate::query::text_limits;
use crate::reply::Reply;
use crate::spec::Arg;
use path::{Effort, Path};

/// The module that INFO and MODULE LIST name: what clients look at before they use these commands.
pub const MODULE: (&str, u32) = ("ReJSON", 20_809);

/// A path that may be left out.
const PATH: Arg = Arg::string("path").optional();

/// What reading or writing a byte of a value takes, about: a read of more than some hundred kilobytes is better made elsewhere.
const BYTE_NS: f64 = 2.0;

/// RedisJSON's answer to a key of another type.
fn wrong_type() -> CommandError {
    CommandError::new(ErrorCode::WrongType, "Existing key has wrong Redis type")
}

/// RedisJSON's answer where there is no key.
fn no_key() -> CommandError {
    CommandError::err("could not perform this operation on a key that doesn't exist")
}

/// RedisJSON's answer to a path in the older notation that selects nothing that would do.
fn no_path(path: &str, or: &str) -> CommandError {
    let or = if or.is_empty() { String::new() } else { format!(" or {or}") };
    CommandError::err(format!("Path '{path}' does not exist{or}"))
}

/// RedisJSON's answer to a value of another type.
fn expected(what: &str, found: ValueRef<'_>) -> CommandError {
    let found = type_name(found);
    let message = format!("wrong type of path value - expected {what} but found {found}");
    CommandError::new(ErrorCode::WrongType, message)
}

/// The JSON that a document of the keyspace holds.
fn json_of(document: &Document) -> Result<ValueRef<'_>, CommandError> {
    match key_value(document) {
        KeyValue::Json(value) => Ok(value),
        KeyValue::String(_) => Err(wrong_type()),
    }
}

/// Bytes of a value in its packed form, about.
fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Object(members) => members.size(),
        ValueRef::Array(elements) => elements.size(),
        ValueRef::String(text) => text.len(),
        _ => size_of::<u64>(),
    }
}

/// How many values it is, with those in it. Recursion is bounded by the depth of a document.
fn nodes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Object(members) => 1 + members.iter().map(|(_, member)| 1 + nodes(member)).sum::<usize>(),
        ValueRef::Array(elements) => 1 + elements.iter().map(nodes).sum::<usize>(),
        _ => 1,
    }
}

/// The JSON of a key, as a read sees it.
struct Found<'c> {
    document: Arc<Document>,
    /// What all paths into it may take together.
    effort: Effort<'c>,
    /// What is answered of it.
    held: RefCell<Held>,
}

impl Found<'_> {
    /// What it is.
    fn value(&self) -> ValueRef<'_> {
        json_of(&self.document).unwrap_or(ValueRef::Null)
    }

    /// What a path selects. Counted is what it takes as text too, since values may be selected again and again.
    fn values(&self, path: &Path) -> Result<Vec<ValueRef<'_>>, CommandError> {
        let mut values = Vec::new();
        path.values(self.value(), &self.effort, &mut |value| {
            self.claim(size_of::<Reply>() + 2 * size(value))?;
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    /// Counts what values take as replies within replies.
    fn claim_replies(&self, values: &[ValueRef<'_>]) -> Result<(), CommandError> {
        let replies: usize = values.iter().map(|value| nodes(*value)).sum();
        self.claim(replies.saturating_mul(2 * size_of::<Reply>()))
    }

    /// Counts so many bytes more.
    fn claim(&self, bytes: usize) -> Result<(), CommandError> {
        self.held.borrow_mut().claim(bytes)
    }

    /// The first value that it selects.
    fn first(&self, path: &Path) -> Result<Option<ValueRef<'_>>, CommandError> {
        let mut first = None;
        path.values(self.value(), &self.effort, &mut |value| {
            first.get_or_insert(value);
            Ok(())
        })?;
        Ok(first)
    }
}

/// What argument `at`, a key, holds.
fn find<'c>(args: &Args, at: usize, context: &'c ReadContext<'_>) -> Result<Option<Found<'c>>, CommandError> {
    let Some(document) = context.key(args.bytes(at))? else { return Ok(None) };
    json_of(&document)?;
    context.afford(document.body.len() as f64 * BYTE_NS)?;
    let held = RefCell::new(Account::new(context.queries.memory()).part());
    Ok(Some(Found { document, effort: Effort::read(context), held }))
}

/// The path at argument `at`; the root where it is left out.
fn path_at(args: &Args, at: usize) -> Result<Path, CommandError> {
    Path::parse(args.get(at).map_or(b".", |path| path))
}

/// JSON text that a client sent.
fn parse(text: &[u8], limits: &Limits) -> Result<Packed, CommandError> {
    parse_plain(text, text_limits(limits)).map_err(|error| match error {
        Error::BadDocument(what) => CommandError::err(what),
        other => other.into(),
    })
}

/// The arguments from `from` on, each as JSON.
fn parse_all(args: &Args, from: usize, limits: &Limits) -> Result<Vec<Packed>, CommandError> {
    args.from(from).iter().map(|text| parse(text, limits)).collect()
}

/// A value's text as a reply.
fn text(value: ValueRef<'_>) -> Reply {
    let mut out = Vec::new();
    render_value(&mut out, value);
    Reply::Bulk(out.into())
}

/// How JSON.TYPE names a value's type.
fn type_name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Bool(_) => "boolean",
        ValueRef::Int32(_) | ValueRef::Int64(_) => "integer",
        ValueRef::Double(_) => "number",
        ValueRef::String(_) => "string",
        ValueRef::Array(_) => "array",
        ValueRef::Object(_) => "object",
        // Nothing else is stored.
        _ => "null",
    }
}

/// What JSON.STRLEN and its like answer: for each value of the path what `measure` says, null where it says nothing. In the
/// older notation, for the first value alone; `without` says what then is answered without a key.
struct Measure<'m> {
    measure: &'m dyn Fn(ValueRef<'_>) -> Option<Reply>,
    /// Where the first value is none that can be measured.
    refuse: &'m dyn Fn(&Path, ValueRef<'_>) -> CommandError,
    /// Where there is no such value.
    missing: &'m dyn Fn(&Path) -> Result<Reply, CommandError>,
    /// Where there is no key, and the path is none in the older notation: those are answered null.
    no_key: &'m dyn Fn(&Path) -> CommandError,
}

impl Measure<'_> {
    /// Of the key at argument 1 and the path at argument 2.
    fn run(&self, args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
        let path = path_at(args, 2)?;
        let Some(found) = find(args, 1, context)? else {
            return if path.legacy { Ok(Reply::Null) } else { Err((self.no_key)(&path)) };
        };
        if !path.legacy {
            let values = found.values(&path)?.into_iter();
            return Ok(Reply::Array(values.map(|value| (self.measure)(value).unwrap_or(Reply::Null)).collect()));
        }
        match found.first(&path)? {
            None => (self.missing)(&path),
            Some(value) => (self.measure)(value).ok_or_else(|| (self.refuse)(&path, value)),
        }
    }
}
