//! DOC.FINDANDMODIFY: changes or deletes the first match and answers it.

use super::new_collection_name;
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::{CommandError, ErrorCode};
use crate::query::modify::FindAndModify;
use crate::query::parse_filter;
use crate::query::project::Project;
use crate::query::sort::Sort;
use crate::query::update::{Terms, Update, bad_update};
use crate::query::write::{Change, FilteredWrite};
use crate::spec::{Arg, Command, Group, Keys, Run};

/// DOC.FINDANDMODIFY
pub static SPEC: Command = Command {
    name: "DOC.FINDANDMODIFY",
    group: Group::Document,
    summary: "Updates or deletes the first match and answers it, as one atomic step.",
    complexity: "O(N) with N the number of documents and index entries looked at; O(1) for a filter on _id.",
    arity: -4,
    args: &[
        Arg::collection(),
        Arg::json("filter"),
        Arg::one_of("change", &[Arg::json("update"), Arg::word("DELETE").required()]),
        Arg::json("sort").after("SORT").optional(),
        Arg::word("UPSERT"),
        Arg::word("NEW"),
        Arg::json("projection").after("PROJECT").optional(),
        Arg::json("filters").after("ARRAYFILTERS").optional(),
    ],
    keys: Keys::FIRST,
    flags: &["denyoom"],
    reply: "The document as it was, with NEW as it is now; null when nothing matched, also where UPSERT inserted one, but for \
            NEW.",
    examples: &[
        (
            r#"DOC.FINDANDMODIFY jobs '{"state":"new"}' '{"$set":{"state":"taken"}}' SORT '{"at":1}' NEW"#,
            r#"{"_id":"a","at":1,"state":"taken"}"#,
        ),
        (r#"DOC.FINDANDMODIFY jobs '{"_id":"a"}' DELETE PROJECT '{"at":1}'"#, r#"{"_id":"a","at":1}"#),
    ],
    run: Run::Write(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &WriteContext<'_>) -> Result<Prepared, CommandError> {
    let (mut upsert, mut new) = (false, false);
    let (mut sort, mut project, mut array_filters) = (None, None, None);
    let mut at = 4;
    while at < args.len() {
        if args.is(at, "UPSERT") {
            upsert = true;
        } else if args.is(at, "NEW") {
            new = true;
        } else {
            let place = if args.is(at, "SORT") {
                &mut sort
            } else if args.is(at, "PROJECT") {
                &mut project
            } else if args.is(at, "ARRAYFILTERS") {
                &mut array_filters
            } else {
                return Err(CommandError::syntax());
            };
            at += 1;
            if at >= args.len() || place.replace(args.bytes(at)).is_some() {
                return Err(CommandError::syntax());
            }
        }
        at += 1;
    }
    let deletes = args.is(3, "DELETE");
    if deletes && (upsert || new || array_filters.is_some()) {
        return Err(bad_update("DELETE cannot stand beside UPSERT, NEW or ARRAYFILTERS"));
    }
    let change = if deletes {
        Change::Delete
    } else {
        let terms = Terms { limits: context.limits, now_ms: context.now_ms };
        Change::Update(Update::parse(args.bytes(3), array_filters.map(|text| &**text), &terms)?)
    };
    let project = project.map(|text| Project::parse(text, context.limits)).transpose()?.flatten();
    if new && project.as_ref().is_some_and(Project::is_positional) {
        let what = "PROJECT: the positional .$ cannot show the document after the change";
        return Err(CommandError::new(ErrorCode::BadFilter, what));
    }
    let filter = parse_filter(args.bytes(2), context.limits)?;
    project.as_ref().map_or(Ok(()), |project| project.check_filter(&filter))?;
    let write = FilteredWrite {
        db: context.db,
        collection: new_collection_name(args, 1)?,
        filter,
        change,
        one: true,
        upsert,
        if_version: None,
        limits: *context.limits,
    };
    let sort = sort.map(|text| Sort::parse(text, context.limits)).transpose()?.flatten();
    Ok(FindAndModify { write, sort, project, new, now_ms: context.now_ms }.prepare())
}
