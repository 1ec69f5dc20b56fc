//! DOC.SET.

use veddb_storage::document::json::{IdSource, parse_document};

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
                Ok(Reply::count(transaction.replace(collection, record, document.body)?))
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
