//! What a command does to its keys, in Redis's words, and which of its arguments are keys.
//!
//! `RO RW OW RM`: reads, changes, overwrites, removes the value; `access update insert delete`: hands it out or lets it decide, changes
//! it, adds to it, takes of it. Of the latter, `access` wants the right to read, the others the right to write.

use std::sync::LazyLock;

use bytes::Bytes;

use crate::args::Args;
use crate::changes::ALL;
use crate::context::Limits;
use crate::lookup::{Entry, entries};
use crate::spec::{Command, Keys, Run};

/// Where it is not what follows from reading or writing: by name, for each key specification.
const ACCESS: &[(&str, &[&[&str]])] = &[
    ("append", &[&["RW", "insert"]]),
    ("copy", &[&["RO", "access"], &["OW", "update"]]),
    ("decr", &[COUNTS]),
    ("decrby", &[COUNTS]),
    ("del", &[&["RM", "delete"]]),
    ("doc.aggregate", &[&["RO", "access"]]),
    ("doc.bulk", &[COUNTS]),
    ("doc.create", &[&["OW", "insert"]]),
    ("doc.del", &[&["RM", "delete"]]),
    ("doc.delete", &[&["RW", "access", "delete"]]),
    ("doc.drop", &[&["RM", "delete"]]),
    ("doc.findandmodify", &[COUNTS]),
    ("doc.insert", &[&["RW", "insert"]]),
    ("doc.rename", &[&["RW", "access", "delete"], &["OW", "update"]]),
    ("doc.set", &[&["RW", "insert", "update"]]),
    ("doc.update", &[COUNTS]),
    ("eval", &[COUNTS]),
    ("evalsha", &[COUNTS]),
    ("exists", &[&["RO"]]),
    ("fcall", &[COUNTS]),
    ("fcall_ro", &[&["RO", "access"]]),
    ("getdel", &[&["RW", "access", "delete"]]),
    ("getex", &[COUNTS]),
    ("getset", &[COUNTS]),
    ("incr", &[COUNTS]),
    ("incrby", &[COUNTS]),
    ("incrbyfloat", &[COUNTS]),
    ("memory|usage", &[&["RO"]]),
    ("move", &[COUNTS]),
    ("mset", &[&["OW", "update"]]),
    ("msetnx", &[&["OW", "insert"]]),
    ("object|encoding", &[&["RO"]]),
    ("object|freq", &[&["RO"]]),
    ("object|idletime", &[&["RO"]]),
    ("object|refcount", &[&["RO"]]),
    ("psetex", &[&["OW", "update"]]),
    ("rename", &[&["RW", "access", "delete"], &["OW", "update"]]),
    ("renamenx", &[&["RW", "access", "delete"], &["OW", "insert"]]),
    ("set", &[&["RW", "access", "update", "variable_flags"]]),
    ("setex", &[&["OW", "update"]]),
    ("setnx", &[&["OW", "insert"]]),
    ("strlen", &[&["RO"]]),
    ("touch", &[&["RO"]]),
    ("type", &[&["RO"]]),
    ("unlink", &[&["RM", "delete"]]),
    ("watch", &[&["RO"]]),
];

const COUNTS: &[&str] = &["RW", "access", "update"];

/// What a pipeline reads beside its source, and what it writes.
const READ_WITHIN: &[&str] = &["RO", "access"];
const WRITTEN_WITHIN: &[&str] = &["OW", "update"];

/// A key or collection that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Its name.
    pub key: Bytes,
    /// At which argument, or within which.
    pub at: usize,
    /// What is done to it.
    pub flags: &'static [&'static str],
}

impl KeyUse {
    /// Whether its value is handed out, or decides what is done.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.flags.contains(&"access")
    }

    /// Whether it is changed.
    #[must_use]
    pub fn writes(&self) -> bool {
        ["insert", "update", "delete"].iter().any(|flag| self.flags.contains(flag))
    }
}

/// The flags of each of a command's key specifications, the command being of this full lower-case name.
pub fn access(command: &Command, name: &str) -> &'static [&'static [&'static str]] {
    let found = ACCESS.binary_search_by_key(&name, |(known, _)| known);
    match (found.ok().and_then(|at| ACCESS.get(at)), command.run) {
        (Some((_, flags)), _) => flags,
        // A path decides what is changed, and the answer says how much that is.
        (None, Run::Write(_)) if name.starts_with("json.") => &[COUNTS],
        (None, Run::Write(_) | Run::Mixed { .. }) => &[&["RW", "update"]],
        (None, _) => &[&["RO", "access"]],
    }
}

/// [`access`] of each entry, for it is asked of every request.
static ACCESS_BY_ENTRY: LazyLock<Vec<&'static [&'static [&'static str]]>> =
    LazyLock::new(|| entries().iter().map(|entry| access(entry.command, &entry.name)).collect());

/// Whether an argument says how many keys follow it: the second.
pub fn counts_keys(command: &Command) -> bool {
    command.flags.contains(&"movablekeys")
}

/// Whether a command has keys at all.
pub fn has_keys(command: &Command) -> bool {
    command.keys != Keys::NONE || counts_keys(command) || command.named_within.is_some()
}

/// The keys among a request's arguments and inside them, and what is done to each.
pub fn keys(entry: &Entry, args: &Args, limits: &Limits) -> Vec<KeyUse> {
    let Keys { first, last, step } = entry.command.keys;
    let count = i32::try_from(args.len()).unwrap_or(i32::MAX);
    let (first, last, step) = if counts_keys(entry.command) {
        let keys = args.integer(2).ok().and_then(|keys| i32::try_from(keys).ok());
        // More keys than arguments is no key at all, as in Redis.
        (3, keys.filter(|keys| *keys <= count - 3).map_or(0, |keys| keys + 2), 1)
    } else {
        (first, if last < 0 { count + last } else { last }, usize::try_from(step).unwrap_or(1).max(1))
    };
    let specifications = ACCESS_BY_ENTRY.get(entry.index).copied().unwrap_or_default();
    let positions = (first..=last).step_by(step).filter_map(|at| usize::try_from(at).ok()).filter(|at| *at > 0);
    let key = |(number, at): (usize, usize)| {
        let flags = specifications.get(number).or(specifications.last()).copied().unwrap_or(&[]);
        Some(KeyUse { key: args.get(at)?.clone(), at, flags: depending(flags, args) })
    };
    let mut found: Vec<KeyUse> = positions.enumerate().filter_map(key).collect();
    if entry.command.flags.contains(&"star-is-all") {
        // It names none, and is given what its user may see.
        found.retain(|found| found.key != ALL);
    }
    if let Some(within) = entry.command.named_within {
        let at = found.last().map_or(1, |last| last.at + 1);
        found.extend(within(args, limits).into_iter().map(|(name, writes)| KeyUse {
            key: Bytes::from(name),
            at,
            flags: if writes { WRITTEN_WITHIN } else { READ_WITHIN },
        }));
    }
    found
}

/// What SET does depends on whether it is asked for what was there.
fn depending(flags: &'static [&'static str], args: &Args) -> &'static [&'static str] {
    if !flags.contains(&"variable_flags") {
        return flags;
    }
    if (3..args.len()).any(|at| args.is(at, "GET")) { COUNTS } else { &["OW", "update"] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::{Lookup, find};

    #[track_caller]
    fn check(line: &'static str, expected: &str) {
        let args = Args::new(line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect());
        let Lookup::Found(entry) = find(&args) else { panic!("{line}: no such command") };
        let keys = keys(entry, &args, &Limits::default());
        let shown =
            keys.iter().map(|found| format!("{}:{}", String::from_utf8_lossy(&found.key), found.flags.join("+")));
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{line}");
    }

    #[test]
    fn the_table_is_sorted_and_names_commands() {
        assert!(ACCESS.is_sorted_by_key(|(name, _)| name));
        for (name, _) in ACCESS {
            assert!(crate::lookup::by_name(name.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn keys_are_found_with_what_is_done_to_them() {
        check("GET a", "a:RO+access");
        check("SET a b", "a:OW+update");
        check("SET a b GET", "a:RW+access+update");
        check("MSET a 1 b 2", "a:OW+update b:OW+update");
        check("RENAME a b", "a:RW+access+delete b:OW+update");
        check("DEL a b", "a:RM+delete b:RM+delete");
        check("EVAL s 2 a b c", "a:RW+access+update b:RW+access+update");
        check("EVAL s 0", "");
        check("EVAL s 99999999999 a", "");
        check("EVAL s 9 a", "");
        check("DOC.FIND users {}", "users:RO+access");
        check("DOC.UPDATE users {} {}", "users:RW+access+update");
        check("JSON.SET a $ 1", "a:RW+access+update");
        check("DOC.AGGREGATE a []", "a:RO+access");
        check(r#"DOC.AGGREGATE a [{"$unionWith":"b"},{"$out":"c"}]"#, "a:RO+access b:RO+access c:OW+update");
        check(
            r#"DOC.EXPLAIN AGGREGATE a [{"$facet":{"x":[{"$lookup":{"from":"b","pipeline":[{"$unionWith":"c"}],"as":"y"}}]}}]"#,
            "a:RO+access c:RO+access b:RO+access",
        );
        check(r#"DOC.AGGREGATE a [{"$\u006fut":"c"}]"#, "a:RO+access c:OW+update");
        check("DOC.CHANGES a NOW", "a:RO+access");
        check("DOC.CHANGES * NOW", "");
        check("PING", "");
    }
}
