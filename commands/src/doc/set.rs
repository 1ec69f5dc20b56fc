//! DOC.SET.

use veddb_storage::Document;
use veddb_storage::document::json::{IdSource, parse_document};
use veddb_storage::document::{RawObject, codec};

use super::{conflict, new_collection_name, parse_limits};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.SET",
    group: Group::Document,
    summary: "Stores a document under an id, whole.",
    complexity: "O(log N) of the collection's documents, plus the document's size",
    arity: -4,
    args: &[
        Arg::collection(),
        Arg::string("id"),
        Arg::json("doc"),
        Arg::one_of("condition", &[Arg::word("NX").required(), Arg::word("XX").required()]).optional(),
        Arg::integer("version").after("IFVER").optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "the new version, or null when NX or XX did not hold",
    examples: &[
        (r#"DOC.SET users 7 '{"name":"Ada"}'"#, "(integer) 1"),
        (r#"DOC.SET users 7 '{"name":"Grace"}' NX"#, "(nil)"),
        (r#"DOC.SET users 7 '{"name":"Grace"}' IFVER 1"#, "(integer) 2"),
    ],
    run: Run::Write(set),
    ..Command::BLANK
};

/// What has to hold for the document to be stored.
#[derive(Default, Clone, Copy)]
struct Conditions {
    only_new: bool,
    only_existing: bool,
    version: Option<u64>,
}

fn conditions(args: &Args) -> Result<Conditions, CommandError> {
    let mut conditions = Conditions::default();
    let mut at = 4;
    while at < args.len() {
        if args.is(at, "NX") && !conditions.only_existing {
            conditions.only_new = true;
        } else if args.is(at, "XX") && !conditions.only_new {
            conditions.only_existing = true;
        } else if args.is(at, "IFVER") && conditions.version.is_none() && at + 1 < args.len() {
            at += 1;
            conditions.version = Some(args.unsigned(at)?);
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    Ok(conditions)
}

fn set(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = new_collection_name(args, 1)?;
    let conditions = conditions(args)?;
    let document = parse_document(args.bytes(3), parse_limits(context.limits), IdSource::Given(args.text(2)?))?;
    Ok(Prepared::Unit(Box::new(move |transaction| {
        let mut before = None;
        if let Some(collection) = transaction.collection(db, &name)
            && let Some(record) = transaction.find_id(collection, &document.id)?
            && let Some(found) = transaction.record(collection, record)?
        {
            before = Some((collection, record, found));
        }
        let current = before.as_ref().map_or(0, |(_, _, found)| found.version);
        if let Some(expected) = conditions.version.filter(|expected| *expected != current) {
            return Err(conflict(current, expected));
        }
        match before {
            Some((collection, record, found)) if !conditions.only_new => {
                let body = keep_id(&found, document.body);
                Ok(Reply::count(transaction.replace(collection, record, &found, body)?))
            }
            None if !conditions.only_existing => {
                let collection = transaction.collection_or_create(db, &name)?;
                transaction.insert(collection, &document.id, document.body)?;
                Ok(Reply::Integer(1))
            }
            _ => Ok(Reply::Null),
        }
    })))
}

/// The new body with the `_id` of the old one: of one id's types the one stored first stays.
fn keep_id(old: &Document, body: Box<[u8]>) -> Box<[u8]> {
    let new = RawObject::from_body(&body);
    let (Some(old_id), Some(new_id)) = (old.root().get("_id"), new.get("_id")) else { return body };
    // Under one key there is one text for each type, so the same type is the same id.
    if old_id.kind() == new_id.kind() {
        return body;
    }
    let mut object = new.to_object();
    object.set("_id", old_id.to_value());
    codec::pack_object(&object)
}
