//! Categories of commands: Redis's, and those of documents, indexes, keys of encryption and JSON.

use crate::spec::{Command, Group, Run};

/// All categories, in the order in which Redis lists them, VedDB's own last. Those of types that VedDB does not have hold no command, so
/// that rules written for Redis can be given here.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
    "doc",
    "idx",
    "key",
    "json",
];

/// The category of this name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static str> {
    CATEGORIES.iter().copied().find(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Those of a command, without the `@`, in their order.
#[must_use]
pub fn categories(command: &Command) -> Vec<&'static str> {
    let mut found = Vec::new();
    match command.run {
        // What administrators ask and change is no data: who may read all data may not therefore read the audit log.
        _ if command.flags.contains(&"admin") => {}
        // What it writes takes the right to a command that only does that.
        Run::Read(_) | Run::Mixed { .. } => found.push("read"),
        Run::Write(_) => found.push("write"),
        Run::Session(_) | Run::Exec | Run::Container => {}
    }
    match command.group {
        // A container by itself does nothing.
        _ if matches!(command.run, Run::Container) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_of_a_command_is_known() {
        for entry in crate::lookup::entries() {
            for category in categories(entry.command) {
                assert!(find(category.as_bytes()).is_some(), "{}: @{category}", entry.name);
            }
        }
        assert_eq!(find(b"DOC"), Some("doc"));
        assert_eq!(find(b"all"), None);
    }
}
