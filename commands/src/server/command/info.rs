//! COMMAND INFO.

use std::borrow::Cow;

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
        Reply::text(name),
        Reply::Integer(command.arity.into()),
        status(flags(command)),
        Reply::Integer(command.keys.first.into()),
        Reply::Integer(command.keys.last.into()),
        Reply::Integer(command.keys.step.into()),
        Reply::Set(categories.collect()),
        Reply::Set(Vec::new()),
        key_specifications(command),
        Reply::Set(command.subcommands.iter().map(|sub| describe(sub, Some(&own))).collect()),
    ])
}

/// Redis's flags: those that follow from `run`, then the declared ones.
pub(super) fn flags(command: &Command) -> Vec<&'static str> {
    let mut flags = Vec::new();
    match command.run {
        Run::Read(_) => flags.push("readonly"),
        Run::Write(_) | Run::Mixed { .. } => flags.push("write"),
        Run::Session(_) | Run::Exec | Run::Container => {}
    }
    // `slow-read` is for dispatch; no client knows it.
    flags.extend(command.flags.iter().filter(|flag| **flag != "slow-read"));
    flags
}

/// ACL categories without the `@`.
pub(super) fn categories(command: &Command) -> Vec<&'static str> {
    let mut found = Vec::new();
    match command.run {
        Run::Read(_) => found.push("read"),
        Run::Write(_) | Run::Mixed { .. } => found.push("write"),
        Run::Session(_) | Run::Exec | Run::Container => {}
    }
    match command.group {
        Group::Document => found.push("doc"),
        Group::Index => found.push("idx"),
        Group::Key => found.push("key"),
        Group::Connection => found.push("connection"),
        Group::Generic => found.push("keyspace"),
        Group::String => found.push("string"),
        Group::Json => found.push("json"),
        Group::PubSub => found.push("pubsub"),
        Group::Transactions => found.push("transaction"),
        Group::Scripting => found.push("scripting"),
        Group::Cluster => {}
        Group::Server => {}
    }
    if command.flags.contains(&"admin") {
        found.extend(["admin", "dangerous"]);
    }
    found.push(if command.flags.contains(&"fast") { "fast" } else { "slow" });
    for extra in command.categories {
        if !found.contains(extra) {
            found.push(extra);
        }
    }
    found.sort_by_key(|name| CATEGORIES.iter().position(|known| known == name));
    found
}

/// The order in which Redis lists categories, VedDB's own last.
const CATEGORIES: &[&str] =
    &["keyspace", "read", "write", "admin", "fast", "slow", "dangerous", "connection", "doc", "idx", "key"];

/// One specification in Redis 7's form: keys begin at an index and stand in a range.
fn key_specifications(command: &Command) -> Reply {
    if command.keys == Keys::NONE {
        return Reply::Set(Vec::new());
    }
    let access = match command.run {
        Run::Write(_) | Run::Mixed { .. } => ["RW", "UPDATE"],
        _ => ["RO", "ACCESS"],
    };
    let Keys { first, last, step } = command.keys;
    // Redis counts a positive last key from the first.
    let last_from_first = if last >= 0 { last - first } else { last };
    let map = |pairs: Vec<(&'static str, Reply)>| {
        Reply::Map(pairs.into_iter().map(|(name, value)| (Reply::constant(name), value)).collect())
    };
    Reply::Set(vec![map(vec![
        ("flags", Reply::Set(access.map(|flag| Reply::Simple(flag.into())).to_vec())),
        (
            "begin_search",
            map(vec![("type", Reply::constant("index")), ("spec", map(vec![("index", Reply::Integer(first.into()))]))]),
        ),
        (
            "find_keys",
            map(vec![
                ("type", Reply::constant("range")),
                (
                    "spec",
                    map(vec![
                        ("lastkey", Reply::Integer(last_from_first.into())),
                        ("keystep", Reply::Integer(step.into())),
                        ("limit", Reply::Integer(0)),
                    ]),
                ),
            ]),
        ),
    ])])
}
