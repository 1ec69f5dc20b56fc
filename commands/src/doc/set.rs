//! DOC.SET.

use veddb_storage::Document;
use veddb_storage::document::json::{IdSource, parse_document};
use veddb_storage::document::{RawObject, codec};

use super::expiry::found;
use super::{conflict, new_collection_name, parse_limits};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::expiry::{CLOCKS, Moment};
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Keys, Run};

/// As errors name it.
const COMMAND: &str = "doc.set";

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
        Arg::one_of(
            "expiration",
            &[
                Arg::integer("seconds").after("EX"),
                Arg::integer("milliseconds").after("PX"),
                Arg::new("unix-time-seconds", ArgKind::UnixTime).after("EXAT"),
                Arg::new("unix-time-milliseconds", ArgKind::UnixTime).after("PXAT"),
                Arg::word("KEEPTTL").required(),
            ],
        )
        .optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "the new version, or null when NX or XX did not hold. Without KEEPTTL an expiry that the document had is gone; what is \
            stored with one that has passed is gone at once",
    examples: &[
        (r#"DOC.SET users 7 '{"name":"Ada"}'"#, "(integer) 1"),
        (r#"DOC.SET users 7 '{"name":"Grace"}' NX"#, "(nil)"),
        (r#"DOC.SET users 7 '{"name":"Grace"}' IFVER 1"#, "(integer) 2"),
        (r#"DOC.SET sessions s1 '{"user":7}' EX 3600"#, "(integer) 1"),
    ],
    run: Run::Write(set),
    ..Command::BLANK
};

/// What has to hold for the document to be stored, and how long it stays.
#[derive(Default, Clone, Copy)]
struct Options {
    only_new: bool,
    only_existing: bool,
    version: Option<u64>,
    expiry: Option<Expiry>,
}

#[derive(Clone, Copy)]
enum Expiry {
    /// That of the document before.
    Keep,
    At(Moment),
}

impl Options {
    fn expires_ms(self, before: Option<&Document>, now_ms: u64) -> u64 {
        match self.expiry {
            None => 0,
            Some(Expiry::Keep) => before.map_or(0, |document| document.expires_ms),
            Some(Expiry::At(moment)) => moment.expires_ms(now_ms),
        }
    }
}

fn options(args: &Args, context: &WriteContext<'_>) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 4;
    while at < args.len() {
        let clock = CLOCKS.iter().find(|(word, _)| args.is(at, word) && at + 1 < args.len());
        if args.is(at, "NX") && !options.only_existing {
            options.only_new = true;
        } else if args.is(at, "XX") && !options.only_new {
            options.only_existing = true;
        } else if args.is(at, "IFVER") && options.version.is_none() && at + 1 < args.len() {
            at += 1;
            options.version = Some(args.unsigned(at)?);
        } else if args.is(at, "KEEPTTL") && options.expiry.is_none() {
            options.expiry = Some(Expiry::Keep);
        } else if let Some((_, clock)) = clock.filter(|_| options.expiry.is_none()) {
            at += 1;
            let moment = clock.read(args, at, context, COMMAND)?.positive(COMMAND)?;
            options.expiry = Some(Expiry::At(moment));
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    Ok(options)
}

fn set(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = new_collection_name(args, 1)?;
    let options = options(args, context)?;
    let document = parse_document(args.bytes(3), parse_limits(context.limits), IdSource::Given(args.text(2)?))?;
    Ok(Prepared::Unit(Box::new(move |transaction| {
        let before = found(transaction, db, &name, &document.id)?;
        let current = before.as_ref().map_or(0, |(_, _, found)| found.version);
        if let Some(expected) = options.version.filter(|expected| *expected != current) {
            return Err(conflict(current, expected));
        }
        match before {
            Some((collection, record, found)) if !options.only_new => {
                let body = keep_id(&found, document.body);
                let expires_ms = options.expires_ms(Some(&found), transaction.now_ms());
                Ok(Reply::count(transaction.replace_expiring(collection, record, &found, body, expires_ms)?))
            }
            None if !options.only_existing => {
                let collection = transaction.collection_or_create(db, &name)?;
                let expires_ms = options.expires_ms(None, transaction.now_ms());
                transaction.insert_expiring(collection, &document.id, document.body, expires_ms)?;
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
