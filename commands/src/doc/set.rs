//! DOC.SET.

use std::sync::Arc;

use veddb_storage::Document;
use veddb_storage::document::json::{IdSource, ParsedDocument, parse_document};
use veddb_storage::document::{Packed, RawObject, ValueRef, codec};

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
        let collection = transaction.collection(db, &name);
        let record = match collection {
            Some(collection) => transaction.find_id(collection, &document.id)?,
            None => None,
        };
        if let Some(expected) = conditions.version {
            let current = match (collection, record) {
                (Some(collection), Some(record)) => {
                    transaction.record(collection, record)?.map_or(0, |document| document.version)
                }
                _ => 0,
            };
            if current != expected {
                return Err(conflict(current, expected));
            }
        }
        match (collection, record) {
            (Some(collection), Some(record)) if !conditions.only_new => {
                let body = match may_be_typed(&document) {
                    true => keep_id(transaction.record(collection, record)?, document.body),
                    false => document.body,
                };
                Ok(Reply::count(transaction.replace(collection, record, body)?))
            }
            (_, None) if !conditions.only_existing => {
                let collection = transaction.collection_or_create(db, &name)?;
                transaction.insert(collection, &document.id, document.body)?;
                Ok(Reply::Integer(1))
            }
            _ => Ok(Reply::Null),
        }
    })))
}

/// Whether a number or an ObjectId may stand under this document's key too. Most ids are plainly neither, and then the
/// document that is there need not be read.
fn may_be_typed(document: &ParsedDocument) -> bool {
    let string = matches!(RawObject::from_body(&document.body).get("_id"), Some(ValueRef::String(_)));
    let number = document.id.first().is_some_and(|b| b.is_ascii_digit() || b"-IN".contains(b));
    let object_id = document.id.len() == 24 && document.id.iter().all(u8::is_ascii_hexdigit);
    !string || number || object_id
}

/// The new body with the `_id` of the old one: of one id's types the one stored first stays.
fn keep_id(old: Option<Arc<Document>>, body: Box<[u8]>) -> Box<[u8]> {
    let new = RawObject::from_body(&body);
    let old_id = old.as_ref().and_then(|old| old.root().get("_id")).map(Packed::from_ref);
    let (Some(old_id), Some(new_id)) = (old_id, new.get("_id").map(Packed::from_ref)) else { return body };
    if old_id == new_id {
        return body;
    }
    let mut object = new.to_object();
    object.set("_id", old_id.get().to_value());
    codec::pack_object(&object)
}
