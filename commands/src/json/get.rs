//! JSON.GET.

use std::collections::HashSet;

use veddb_storage::document::ValueRef;

use super::layout::{Format, Layout};
use super::path::Path;
use super::{Found, find, no_path};
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::{CommandError, ErrorCode};
use crate::queries;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "JSON.GET",
    group: Group::Json,
    summary: "Returns the JSON at paths of a key.",
    complexity: "O(N) of the value",
    arity: -2,
    args: &[
        Arg::key("key"),
        Arg::string("indent").after("INDENT").optional(),
        Arg::string("newline").after("NEWLINE").optional(),
        Arg::string("space").after("SPACE").optional(),
        Arg::one_of(
            "format",
            &[Arg::word("STRING").required(), Arg::word("EXPAND1").required(), Arg::word("EXPAND").required()],
        )
        .after("FORMAT")
        .optional(),
        Arg::string("path").optional().multiple(),
    ],
    keys: Keys::FIRST,
    flags: &[],
    reply: "the JSON array of the path's values, or in the older notation the first value, the root's without a path; several paths: a JSON object from path to that. Null without such a key. INDENT, NEWLINE and SPACE are put before each level, at ends of lines and behind a name's colon. Under RESP3 FORMAT has arrays of values answered, EXPAND1, and those in them too, EXPAND",
    examples: &[
        (r#"JSON.GET user:1 $.name"#, r#""[\"Ada\"]""#),
        (r#"JSON.GET user:1 .name"#, r#""\"Ada\"""#),
        (r#"JSON.GET user:1 $.name $.visits"#, r#""{\"$.name\":[\"Ada\"],\"$.visits\":[1]}""#),
    ],
    run: Run::Read(run),
    ..Command::BLANK
};

fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let (mut format, mut layout, mut named, mut at) = (Format::Text, Layout::default(), Vec::new(), 2);
    while at < args.len() {
        let option = ["FORMAT", "INDENT", "NEWLINE", "SPACE"].into_iter().find(|word| args.is(at, word));
        if let Some(option) = option {
            at += 1;
            let Some(value) = args.get(at) else { return Err(CommandError::arity("json.get")) };
            match option {
                "FORMAT" if !context.resp3 && named.is_empty() => {
                    return Err(CommandError::err("FORMAT argument is not supported on RESP2"));
                }
                "FORMAT" => format = Format::parse(value).ok_or_else(Format::unknown)?,
                // Each is written again and again.
                _ if value.len() > LAYOUT_BYTES_MAX => {
                    let what = format!("{option} is longer than {LAYOUT_BYTES_MAX} bytes");
                    return Err(CommandError::new(ErrorCode::TooBig, what));
                }
                "INDENT" => layout.indent = value.clone(),
                "NEWLINE" => layout.newline = value.clone(),
                _ => layout.space = value.clone(),
            }
        } else if !args.is(at, "NOESCAPE") {
            // That is an option of RedisJSON 1, which does nothing.
            named.push(args.bytes(at));
        }
        at += 1;
    }
    let paths = match named.as_slice() {
        [] => vec![Path::parse(b".")?],
        named => {
            let mut paths = Vec::new();
            for path in named {
                context.check(None)?;
                paths.push(Path::parse(path)?);
            }
            paths
        }
    };
    let Some(found) = find(args, 1, context)? else { return Ok(Reply::Null) };
    if context.resp3 && format != Format::Text {
        return queries::gather(context, paths.iter().map(|path| expanded(path, &found, context, format, &layout)));
    }
    let mut out = Vec::new();
    match paths.as_slice() {
        [path] => put(&mut out, &layout, &selected(path, &found, path.legacy, &layout)?, 0),
        paths => {
            // One JSONPath makes all paths such.
            let legacy = paths.iter().all(|path| path.legacy);
            let (mut names, mut members) = (HashSet::new(), Vec::new());
            for path in paths {
                context.check(None)?;
                if names.insert(&path.original) {
                    members.push((path.original.as_str(), selected(path, &found, legacy, &layout)?));
                }
            }
            layout.put_object(&mut out, members.into_iter(), 0, |out, selected| put(out, &layout, &selected, 1));
        }
    }
    Ok(Reply::Bulk(out.into()))
}

/// The longest of what lays out.
const LAYOUT_BYTES_MAX: usize = 64;

/// What a path selects.
enum Selected<'v> {
    First(ValueRef<'v>),
    All(Vec<ValueRef<'v>>),
}

fn selected<'v>(
    path: &Path,
    found: &'v Found<'_>,
    legacy: bool,
    layout: &Layout,
) -> Result<Selected<'v>, CommandError> {
    let selected = if legacy {
        Selected::First(found.first(path)?.ok_or_else(|| no_path(&path.text, ""))?)
    } else {
        Selected::All(found.values(path)?)
    };
    if !layout.is_compact() {
        // Where several paths are asked for, their values stand two levels deep.
        found.claim(match &selected {
            Selected::First(value) => layout.added(*value, 2),
            Selected::All(values) => values.iter().map(|value| layout.added(*value, 2)).sum(),
        })?;
    }
    Ok(selected)
}

fn put(out: &mut Vec<u8>, layout: &Layout, selected: &Selected<'_>, level: usize) {
    match selected {
        Selected::First(value) => layout.put(out, *value, level),
        Selected::All(values) => layout.put_array(out, values.iter().copied(), level),
    }
}

fn expanded(
    path: &Path,
    found: &Found<'_>,
    context: &ReadContext<'_>,
    format: Format,
    layout: &Layout,
) -> Result<Reply, CommandError> {
    context.check(None)?;
    let values = found.values(path)?;
    found.claim_replies(&values)?;
    Ok(Reply::Array(values.into_iter().map(|value| format.reply(value, layout)).collect()))
}
