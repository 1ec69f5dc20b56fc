//! From a request to the command it names.
//!
//! Owns the flat list of commands and subcommands with their positions (the server keeps a counter per position) and
//! the wording for names that do not exist. Built once from [`crate::table::COMMANDS`].

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::args::Args;
use crate::error::CommandError;
use crate::spec::Command;
use crate::table::COMMANDS;

/// A command or subcommand and where it stands.
#[derive(Debug)]
pub struct Entry {
    /// Its declaration.
    pub command: &'static Command,
    /// The full lower-case name: `client|kill`.
    pub name: String,
    /// Its position in [`entries`].
    pub index: usize,
}

/// What a request's name leads to.
#[derive(Debug)]
pub enum Lookup {
    /// A command.
    Found(&'static Entry),
    /// None; the error says it as Redis does.
    Unknown(CommandError),
}

/// Longest name that is looked up; anything longer is unknown.
const NAME_MAX: usize = 40;

struct Index {
    entries: Vec<Entry>,
    by_name: HashMap<Vec<u8>, usize>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { entries: Vec::new(), by_name: HashMap::new() };
    for command in COMMANDS {
        index.add(command, command.name.to_ascii_lowercase());
        for sub in command.subcommands {
            index.add(sub, format!("{}|{}", command.name, sub.name).to_ascii_lowercase());
        }
    }
    index
});

impl Index {
    fn add(&mut self, command: &'static Command, name: String) {
        let index = self.entries.len();
        self.by_name.insert(name.clone().into_bytes(), index);
        self.entries.push(Entry { command, name, index });
    }
}

/// Every command and subcommand, each right after its container.
pub fn entries() -> &'static [Entry] {
    &INDEX.entries
}

/// The command of this full name, in any case: `GET`, `client|kill`.
pub fn by_name(name: &[u8]) -> Option<&'static Entry> {
    let mut lower = [0; NAME_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    INDEX.by_name.get(&*lower).and_then(|&index| INDEX.entries.get(index))
}

/// The command a request names, its subcommand where it has one.
pub fn find(args: &Args) -> Lookup {
    let Some(entry) = by_name(args.bytes(0)).filter(|e| !e.name.contains('|')) else {
        return Lookup::Unknown(unknown_command(args));
    };
    let Some(word) = args.get(1).filter(|_| !entry.command.subcommands.is_empty()) else {
        return Lookup::Found(entry);
    };
    let full = [args.bytes(0), &b"|"[..], word].concat();
    match by_name(&full).filter(|_| !word.contains(&b'|')) {
        Some(sub) => Lookup::Found(sub),
        None => Lookup::Unknown(CommandError::err(format!(
            "unknown subcommand '{}'. Try {} HELP.",
            shorten(word, 128),
            entry.command.name
        ))),
    }
}

fn unknown_command(args: &Args) -> CommandError {
    let mut shown = String::new();
    for arg in args.from(1) {
        if shown.len() >= 128 {
            break;
        }
        shown.push_str(&format!("'{}' ", shorten(arg, 128 - shown.len())));
    }
    CommandError::err(format!("unknown command '{}', with args beginning with: {shown}", shorten(args.bytes(0), 128)))
}

/// The first bytes, as text.
fn shorten(bytes: &[u8], max: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(words: &[&str]) -> Args {
        Args::new(words.iter().map(|w| Bytes::copy_from_slice(w.as_bytes())).collect())
    }

    #[track_caller]
    fn check(words: &[&str], expected: &str) {
        let found = match find(&request(words)) {
            Lookup::Found(entry) => entry.name.clone(),
            Lookup::Unknown(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn names_are_found_in_any_case() {
        check(&["pInG"], "ping");
        check(&["client", "KILL", "x"], "client|kill");
        check(&["CLIENT"], "client");
        check(&["COMMAND"], "command");
        check(&["COMMAND", "docs"], "command|docs");
    }

    #[test]
    fn unknown_names_are_answered_as_redis_does() {
        check(&["FOO", "bar", "baz"], "ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' ");
        check(&["client|kill"], "ERR unknown command 'client|kill', with args beginning with: ");
        check(&["client", "nope"], "ERR unknown subcommand 'nope'. Try CLIENT HELP.");
        let long = "x".repeat(300);
        check(&[&long], &format!("ERR unknown command '{}', with args beginning with: ", "x".repeat(128)));
    }

    #[test]
    fn every_name_is_short_enough_to_be_found_and_unique() {
        for entry in entries() {
            assert_eq!(by_name(entry.name.as_bytes()).map(|e| e.index), Some(entry.index), "{}", entry.name);
        }
    }
}
