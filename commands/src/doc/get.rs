//! DOC.GET.

use super::collection;
use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::query::jsonpath;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOC.GET",
    group: Group::Document,
    summary: "Returns a document by its id, or the parts of it that JSONPaths select.",
    complexity: "O(log N) of the collection's documents; with paths also the document's size, for each path",
    arity: -3,
    args: &[Arg::collection(), Arg::string("id"), Arg::string("path").optional().multiple(), Arg::word("WITHVER")],
    keys: Keys::FIRST,
    flags: &["fast"],
    reply: "the document or null; with one path (RFC 9535) a JSON array of the selected nodes, with several a JSON object \
            from path to array; WITHVER: an array of the version and that",
    examples: &[
        ("DOC.GET users 7", r#""{\"_id\":7,\"name\":\"Ada\"}""#),
        ("DOC.GET users 7 $.name", r#""[\"Ada\"]""#),
        ("DOC.GET users 7 WITHVER", "1) (integer) 1\n2) \"{\\\"_id\\\":7,\\\"name\\\":\\\"Ada\\\"}\""),
    ],
    run: Run::Read(get),
    ..Command::BLANK
};

fn get(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let with_version = args.len() > 3 && args.is(args.len() - 1, "WITHVER");
    let paths = args.from(3);
    let paths = if with_version { paths.split_last().map_or(paths, |(_, rest)| rest) } else { paths };
    // A path that cannot be is an error whether or not the document exists.
    let paths = paths.iter().map(|path| jsonpath::parse(path)).collect::<Result<Vec<_>, _>>()?;
    let Some(collection) = collection(args, 1, context)? else { return Ok(Reply::Null) };
    let Some(document) = context.view.get(&collection, args.bytes(2))? else { return Ok(Reply::Null) };
    let version = document.version;
    let body =
        if paths.is_empty() { Reply::Document(document) } else { Reply::Bulk(jsonpath::select(&document, &paths)?) };
    Ok(if with_version { Reply::Array(vec![Reply::count(version), body]) } else { body })
}
