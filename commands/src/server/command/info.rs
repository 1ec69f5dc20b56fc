//! COMMAND INFO.

use std::borrow::Cow;

use super::tips::tips;
use crate::access::category::categories;
use crate::access::keys::{access, counts_keys};
use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::lookup::by_name;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Keys, Run};
use crate::table::COMMANDS;

/// The declaration.
pub static SPEC: Command = Command {
    name: "INFO",
    group: Group::Server,
    summary: "The details of these commands, or of every command.",
    complexity: "O(n), n being the number of commands asked for",
    arity: -2,
    args: &[Arg::string("command-name").optional().multiple()],
    categories: &["connection"],
    flags: &["loading", "stale"],
    reply: "array, a command each: name, arity, flags, first key, last key, step, ACL categories, tips, key \
            specifications, subcommands; null for an unknown name",
    examples: &[("COMMAND INFO doc.get", "1) 1) \"doc.get\" 2) (integer) -3 ...")],
    run: Run::Session(info),
    ..Command::BLANK
};

fn info(args: &Args, _session: &mut dyn Session) -> Result<Reply, CommandError> {
    if args.len() == 2 {
        return Ok(Reply::Array(COMMANDS.iter().map(|command| describe(command, None)).collect()));
    }
    let one = |name: &bytes::Bytes| match by_name(name) {
        Some(entry) => describe(entry.command, entry.name.split_once('|').map(|(container, _)| container)),
        None => Reply::Null,
    };
    Ok(Reply::Array(args.from(2).iter().map(one).collect()))
}

/// The ten elements that Redis 7 answers for a command.
pub(super) fn describe(command: &'static Command, container: Option<&str>) -> Reply {
    let own = command.name.to_ascii_lowercase();
    let name = container.map_or_else(|| own.clone(), |container| format!("{container}|{own}"));
    let status = |words: Vec<&'static str>| Reply::Set(words.into_iter().map(|w| Reply::Simple(w.into())).collect());
    let categories = categories(command).into_iter().map(|c| Reply::Simple(Cow::Owned(format!("@{c}"))));
    Reply::Array(vec![
        Reply::text(name.clone()),
        Reply::Integer(command.arity.into()),
        status(flags(command)),
        Reply::Integer(command.keys.first.into()),
        Reply::Integer(command.keys.last.into()),
        Reply::Integer(command.keys.step.into()),
        Reply::Set(categories.collect()),
        Reply::Set(tips(&name).iter().map(|tip| Reply::constant(tip)).collect()),
        key_specifications(command, &name),
        Reply::Set(command.subcommands.iter().map(|sub| describe(sub, Some(&own))).collect()),
    ])
}

/// Flags for dispatch, which Redis does not show either or does not know.
const INTERNAL: &[&str] = &["slow-read", "may_replicate", "protected", "star-is-all"];

/// Redis's flags: those that follow from `run`, then the declared ones.
pub(super) fn flags(command: &Command) -> Vec<&'static str> {
    let mut flags = Vec::new();
    match command.run {
        Run::Read(_) => flags.push("readonly"),
        Run::Write(_) | Run::Mixed { .. } => flags.push("write"),
        Run::Session(_) | Run::Exec | Run::Container => {}
    }
    flags.extend(command.flags.iter().filter(|flag| !INTERNAL.contains(flag)));
    flags
}

/// In Redis 7's form: keys begin at an index and stand in a range, or an argument says how many there are.
fn key_specifications(command: &Command, name: &str) -> Reply {
    let Keys { first, last, step } = command.keys;
    // Redis counts a positive last key from the first.
    let last_from_first = if last >= 0 { last - first } else { last };
    let specifications = access(command, name);
    if counts_keys(command) {
        let find = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
        let flags = specifications.first().copied().unwrap_or(&[]);
        return Reply::Set(vec![key_specification(flags, 2, "keynum", &find)]);
    }
    if command.keys == Keys::NONE {
        return Reply::Set(Vec::new());
    }
    match specifications {
        [flags] => {
            let find = [("lastkey", last_from_first), ("keystep", step), ("limit", 0)];
            Reply::Set(vec![key_specification(flags, first, "range", &find)])
        }
        several => {
            let one = |(flags, at): (&&'static [&'static str], i32)| {
                key_specification(flags, at, "range", &[("lastkey", 0), ("keystep", 1), ("limit", 0)])
            };
            Reply::Set(several.iter().zip(first..).map(one).collect())
        }
    }
}

fn key_specification(
    flags: &'static [&'static str],
    index: i32,
    found_by: &'static str,
    find: &[(&'static str, i32)],
) -> Reply {
    let map = |pairs: Vec<(&'static str, Reply)>| {
        Reply::Map(pairs.into_iter().map(|(name, value)| (Reply::constant(name), value)).collect())
    };
    let begin = map(vec![("index", Reply::Integer(index.into()))]);
    let find = map(find.iter().map(|(name, value)| (*name, Reply::Integer((*value).into()))).collect());
    map(vec![
        ("flags", Reply::Set(flags.iter().map(|flag| Reply::Simple((*flag).into())).collect())),
        ("begin_search", map(vec![("type", Reply::constant("index")), ("spec", begin)])),
        ("find_keys", map(vec![("type", Reply::constant(found_by)), ("spec", find)])),
    ])
}
