//! DOC.UPDATE: changes the documents that match a filter.

use bytes::Bytes;

use super::new_collection_name;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::query::parse_filter;
use crate::query::update::{Terms, Update};
use crate::query::write::{Change, FilteredWrite, Outcome};
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.UPDATE
pub static SPEC: Command = Command {
    name: "DOC.UPDATE",
    group: Group::Document,
    summary: "Updates the documents that match a filter, each atomically.",
    complexity: "O(N) with N the number of documents and index entries looked at; O(1) for a filter on _id.",
    arity: -4,
    args: &[
        Arg::collection(),
        Arg::json("filter"),
        Arg::json("update"),
        Arg::word("ONE"),
        Arg::word("UPSERT"),
        Arg::integer("version").after("IFVER").optional(),
        Arg::json("filters").after("ARRAYFILTERS").optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "Map: matched, modified (those that are different now), upserted (the id of a document that was inserted, or \
            null). CONFLICT when IFVER names another version than the match has.",
    examples: &[
        (r#"DOC.UPDATE users '{"age":{"$gte":36}}' '{"$inc":{"age":1}}'"#, "{matched: 1, modified: 1, upserted: null}"),
        (
            r#"DOC.UPDATE users '{"_id":"bob"}' '{"$set":{"age":7}}' ONE UPSERT"#,
            r#"{matched: 0, modified: 0, upserted: "bob"}"#,
        ),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    parse(args, context).map(|write| write.prepare(reply))
}

/// The write that the arguments ask for.
pub(super) fn parse(args: &Args, context: &WriteContext<'_>) -> Result<FilteredWrite, CommandError> {
    let (mut one, mut upsert, mut if_version, mut array_filters) = (false, false, None, None);
    let mut at = 4;
    while at < args.len() {
        if args.is(at, "ONE") {
            one = true;
        } else if args.is(at, "UPSERT") {
            upsert = true;
        } else if args.is(at, "IFVER") && if_version.is_none() && at + 1 < args.len() {
            at += 1;
            if_version = Some(args.unsigned(at)?);
        } else if args.is(at, "ARRAYFILTERS") && array_filters.is_none() && at + 1 < args.len() {
            at += 1;
            array_filters = Some(args.bytes(at));
        } else {
            return Err(CommandError::syntax());
        }
        at += 1;
    }
    let terms = Terms { limits: context.limits, now_ms: context.now_ms };
    let write = FilteredWrite {
        db: context.db,
        collection: new_collection_name(args, 1)?,
        filter: parse_filter(args.bytes(2), context.limits)?,
        change: Change::Update(Update::parse(args.bytes(3), array_filters.map(|text| &**text), &terms)?),
        one,
        upsert,
        if_version,
        limits: *context.limits,
    };
    write.check()?;
    Ok(write)
}

fn reply(outcome: &Outcome) -> Reply {
    let upserted = outcome.upserted.as_ref().map_or(Reply::Null, |id| Reply::Bulk(Bytes::copy_from_slice(id)));
    Reply::Map(vec![
        (Reply::constant("matched"), Reply::count(outcome.matched)),
        (Reply::constant("modified"), Reply::count(outcome.modified)),
        (Reply::constant("upserted"), upserted),
    ])
}
