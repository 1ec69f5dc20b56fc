//! IDX.CREATE: makes an index, built in the background.

use std::sync::Arc;

use veddb_storage::{IndexDefinition, IndexSpec};

use crate::args::Args;
use crate::context::{Phased, Prepared, ReadContext, Step, Unit, WriteContext};
use crate::doc::new_collection_name;
use crate::error::{CommandError, ErrorCode};
use crate::query::parse_filter;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// IDX.CREATE
pub static SPEC: Command = Command {
    name: "IDX.CREATE",
    group: Group::Index,
    summary: "Makes an index on one or more fields.",
    complexity: "O(1); the build in the background takes O(N log N) with N the number of documents.",
    arity: -4,
    args: &[
        Arg::collection(),
        Arg::string("name"),
        Arg::json("keys"),
        Arg::word("UNIQUE"),
        Arg::word("SPARSE"),
        Arg::json("filter").after("PARTIAL").optional(),
        Arg::integer("seconds").after("EXPIREAFTER").optional(),
        Arg::word("SYNC"),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom", "no_multi"],
    reply: "OK, at once; with SYNC when the index is ready. OK as well when there is this index already. DUPKEY with SYNC \
            when documents have one key of a UNIQUE index; IDX.LIST says why a build failed.",
    examples: &[
        (r#"IDX.CREATE users by_age '{"age":1}'"#, "OK"),
        (r#"IDX.CREATE users by_mail '{"mail":1}' UNIQUE PARTIAL '{"mail":{"$exists":true}}' SYNC"#, "OK"),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let collection = new_collection_name(args, 1)?;
    let mut definition = IndexDefinition {
        name: args.text(2)?.to_owned(),
        keys: args.text(3)?.to_owned(),
        ..IndexDefinition::default()
    };
    let mut sync = false;
    let mut at = 4;
    while at < args.len() {
        if args.is(at, "UNIQUE") {
            definition.unique = true;
        } else if args.is(at, "SPARSE") {
            definition.sparse = true;
        } else if args.is(at, "SYNC") {
            sync = true;
        } else if args.is(at, "PARTIAL") && at + 1 < args.len() {
            at += 1;
            // Within the limits of a filter; its own error names operator and path.
            parse_filter(args.bytes(at), context.limits)?;
            definition.partial = Some(args.text(at)?.to_owned());
        } else if args.is(at, "EXPIREAFTER") && at + 1 < args.len() {
            at += 1;
            definition.expire_after_s = Some(args.unsigned(at)?);
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    let spec = IndexSpec::new(definition)?;
    let (db, name) = (context.db, spec.name().to_owned());
    let unit: Unit = {
        let collection = collection.clone();
        Box::new(move |tx| {
            let collection = tx.collection_or_create(db, &collection)?;
            tx.create_index(collection, spec)?;
            Ok(Reply::OK)
        })
    };
    if !sync {
        return Ok(Prepared::Unit(unit));
    }
    Ok(Prepared::Phased(Box::new(Creating { unit: Some(unit), collection, name: Arc::from(name) })))
}

/// A creation that waits for the build.
struct Creating {
    unit: Option<Unit>,
    collection: String,
    name: Arc<str>,
}

impl Phased for Creating {
    fn next(
        &mut self,
        context: &ReadContext<'_>,
        before: Option<Result<Reply, CommandError>>,
    ) -> Result<Step, CommandError> {
        if let Some(unit) = self.unit.take() {
            return Ok(Step::Commit(unit));
        }
        if let Some(before) = before {
            before?;
        }
        context.check(None)?;
        let collection = context.view.collection(context.db, &self.collection);
        let Some(index) = collection.as_ref().and_then(|collection| collection.index(&self.name)) else {
            return Err(CommandError::err(format!("index {} was dropped while it was built", self.name)));
        };
        match index.failure() {
            Some(why) => {
                let code = if index.failed_by_duplicate() { ErrorCode::DupKey } else { ErrorCode::Err };
                Err(CommandError::new(code, why.to_owned()))
            }
            None if index.is_ready() => Ok(Step::Done(Reply::OK)),
            None => Ok(Step::Wait),
        }
    }
}
