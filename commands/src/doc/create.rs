//! DOC.CREATE.

use veddb_storage::document::ValueRef;
use veddb_storage::document::json::{ParseLimits, parse_value};
use veddb_storage::schema::{CollectionSchema, SCHEMA_BYTES_MAX, Validation, options_text};

use super::{new_collection_name, parse_limits};
use crate::args::Args;
use crate::context::{Limits, Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.CREATE",
    group: Group::Document,
    summary: "Makes a collection, with a schema for its documents if wanted. One without also appears at its first insert.",
    arity: -2,
    args: &[
        Arg::collection(),
        Arg::json("schema").after("SCHEMA").optional(),
        Arg::one_of(
            "validation",
            &[Arg::word("STRICT").required(), Arg::word("MODERATE").required(), Arg::word("OFF").required()],
        )
        .after("VALIDATION")
        .optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom", "fast"],
    reply: "OK, also when the collection exists with the same options",
    examples: &[
        ("DOC.CREATE users", "OK"),
        (r#"DOC.CREATE people SCHEMA '{"required":["name"]}'"#, "OK"),
        (
            r#"DOC.INSERT people '{"age":36}'"#,
            "(error) SCHEMA the schema of collection people: required does not hold at the root: \"name\" is missing",
        ),
    ],
    run: Run::Write(create),
    ..Command::BLANK
};

fn create(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let db = context.db;
    let name = new_collection_name(args, 1)?;
    let options = options(args, context.limits)?;
    Ok(Prepared::Unit(Box::new(move |transaction| {
        let Some(collection) = transaction.collection(db, &name) else {
            transaction.create_collection(db, &name, &options)?;
            return Ok(Reply::OK);
        };
        if transaction.collection_options(collection).is_some_and(|existing| existing != options) {
            return Err(CommandError::err(format!("collection {name} exists with other options")));
        }
        Ok(Reply::OK)
    })))
}

/// The collection's options as text; refuses a schema that cannot be.
fn options(args: &Args, limits: &Limits) -> Result<String, CommandError> {
    let (mut schema, mut validation) = (None, None);
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "SCHEMA") && schema.is_none() && at + 1 < args.len() {
            let size = SCHEMA_BYTES_MAX.min(limits.max_document_size);
            let parsed = parse_value(args.bytes(at + 1), ParseLimits { size, ..parse_limits(limits) });
            schema = Some(parsed.map_err(bad_schema)?);
        } else if args.is(at, "VALIDATION") && validation.is_none() && at + 1 < args.len() {
            validation = Some(Validation::of_name(args.text(at + 1)?).ok_or_else(CommandError::syntax)?);
        } else {
            return Err(CommandError::syntax());
        }
        at += 2;
    }
    let Some(schema) = schema else {
        return match validation {
            None => Ok(options_text(None, Validation::default())),
            Some(_) => Err(CommandError::err("VALIDATION needs a SCHEMA")),
        };
    };
    let ValueRef::Object(schema) = schema.get() else {
        return Err(CommandError::err("the SCHEMA is no JSON object"));
    };
    let validation = validation.unwrap_or_default();
    CollectionSchema::new(schema, validation).map_err(bad_schema)?;
    Ok(options_text(Some(schema), validation))
}

fn bad_schema(what: impl std::fmt::Display) -> CommandError {
    CommandError::err(format!("bad schema: {what}"))
}
