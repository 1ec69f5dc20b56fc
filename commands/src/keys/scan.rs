//! SCAN.

use bytes::Bytes;
use veddb_storage::{RecordId, key_of};

use crate::args::Args;
use crate::context::ReadContext;
use crate::error::CommandError;
use crate::glob;
use crate::keyspace::type_name;
use crate::pipeline::memory::Account;
use crate::reply::Reply;
use crate::spec::{Arg, ArgKind, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "SCAN",
    group: Group::Generic,
    summary: "Returns the keys of the database in steps.",
    complexity: "O(N) of the keys of a step",
    arity: -2,
    args: &[
        Arg::integer("cursor"),
        Arg::new("pattern", ArgKind::Pattern).after("MATCH").optional(),
        Arg::integer("count").after("COUNT").optional(),
        Arg::string("type").after("TYPE").optional(),
    ],
    reply: "array of the next cursor (0 at the end) and an array of keys. A key that is there from the first step to the last is returned, once unless it was deleted and made anew. COUNT (10) is how many keys a step looks at",
    examples: &[(
        "SCAN 0 COUNT 100",
        r#"1) "0"
2) 1) "greeting""#,
    )],
    run: Run::Read(run),
    ..Command::BLANK
};

/// What a step looks at, unless COUNT says it.
const COUNT: u64 = 10;

#[derive(Default)]
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    count: Option<u64>,
}

fn options(args: &Args) -> Result<Options<'_>, CommandError> {
    let mut options = Options::default();
    let mut at = 2;
    while at < args.len() {
        let Some(value) = args.get(at + 1) else { return Err(CommandError::syntax()) };
        if args.is(at, "MATCH") {
            // As in Redis, this is no pattern: no pattern matches the empty key.
            options.pattern = Some(value.as_ref()).filter(|pattern| *pattern != b"*");
        } else if args.is(at, "TYPE") {
            options.kind = Some(value);
        } else if args.is(at, "COUNT") {
            let count = u64::try_from(args.integer(at + 1)?).ok().filter(|count| *count > 0);
            options.count = Some(count.ok_or_else(CommandError::syntax)?);
        } else {
            return Err(CommandError::syntax());
        }
        at += 2;
    }
    Ok(options)
}

/// A cursor is the record at which the next step begins: records ascend, and a key keeps its own until it is deleted.
fn run(args: &Args, context: &ReadContext<'_>) -> Result<Reply, CommandError> {
    let cursor = std::str::from_utf8(args.bytes(1)).ok().and_then(|text| text.parse::<u64>().ok());
    let cursor = cursor.ok_or_else(|| CommandError::err("invalid cursor"))?;
    let Options { pattern, kind, count } = options(args)?;
    let mut found = Vec::new();
    let mut held = Account::new(context.queries.memory()).part();
    let mut next = 0;
    if let Some(keys) = context.view.keys(context.db) {
        let mut left = count.unwrap_or(COUNT);
        for entry in context.view.scan_from(&keys, RecordId(cursor)) {
            let (record, document) = entry?;
            if left == 0 {
                next = record.0;
                break;
            }
            left -= 1;
            if left.is_multiple_of(64) {
                context.check(None)?;
            }
            let key = key_of(&document);
            let fits = pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
                && context.user.sees(key)
                && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(type_name(&document).as_bytes()));
            if fits {
                // Where there is no room for more the step ends.
                if held.claim(key.len() + size_of::<Reply>()).is_err() && !found.is_empty() {
                    next = record.0;
                    break;
                }
                found.push(Reply::Bulk(Bytes::copy_from_slice(key)));
            }
        }
    }
    Ok(Reply::Array(vec![Reply::text(next.to_string()), Reply::Array(found)]))
}
