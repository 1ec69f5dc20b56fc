//! Which commands are audited (`audit-events`), as what, and which names a record shows of them.

use std::sync::LazyLock;

use bytes::Bytes;
use veddb_commands::Args;
use veddb_commands::access::keys::{has_keys, keys};
use veddb_commands::context::Limits;
use veddb_commands::lookup::{Entry, entries};
use veddb_commands::spec::Run;

use crate::config::table::Setting;

/// A kind of event, by the word in `audit-events` and in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// AUTH, HELLO .. AUTH.
    Auth,
    /// Whatever was refused for want of a right or of a password.
    Denied,
    /// ACL.*, where it changes something.
    Acl,
    /// KEY.*, where it changes something.
    Key,
    /// TOKEN.*, where it changes something.
    Token,
    /// CONFIG SET and REWRITE, SHUTDOWN, DEBUG, CLIENT KILL and other commands of administrators.
    Config,
    /// Collections and indexes made, renamed and dropped; FLUSHDB and FLUSHALL.
    Ddl,
    /// REPLICAOF, FAILOVER, REPLICA.*.
    Replication,
    /// Commands that read data.
    Read,
    /// Commands that write data.
    Write,
}

/// Their words, in the order in which CONFIG GET shows them.
const EVENTS: [(&str, Event); 10] = [
    ("auth", Event::Auth),
    ("denied", Event::Denied),
    ("acl", Event::Acl),
    ("key", Event::Key),
    ("token", Event::Token),
    ("config", Event::Config),
    ("ddl", Event::Ddl),
    ("replication", Event::Replication),
    ("read", Event::Read),
    ("write", Event::Write),
];

/// The kinds of events that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events(u16);

impl Events {
    /// Reads words with spaces between them; nothing turns auditing off.
    ///
    /// # Errors
    /// A word that is none of them.
    pub fn read(text: &str) -> Result<Events, String> {
        text.split_ascii_whitespace().try_fold(Events(0), |events, word| {
            let found = EVENTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
            let (_, event) = found.ok_or_else(|| {
                let all: Vec<_> = EVENTS.iter().map(|(word, _)| *word).collect();
                format!("argument(s) must be among the following: {}", all.join(", "))
            })?;
            Ok(Events(events.0 | 1 << *event as u16))
        })
    }

    /// Whether it is among them.
    pub(super) fn has(self, event: Event) -> bool {
        self.0 & 1 << event as u16 != 0
    }
}

impl Default for Events {
    /// All but reads and writes.
    fn default() -> Events {
        let all = EVENTS.iter().filter(|(_, event)| !matches!(event, Event::Read | Event::Write));
        Events(all.fold(0, |bits, (_, event)| bits | 1 << *event as u16))
    }
}

impl Event {
    /// Its word.
    pub(super) fn word(self) -> &'static str {
        EVENTS.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
    }
}

impl std::fmt::Display for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = EVENTS.iter().filter(|(_, event)| self.has(*event)).map(|(word, _)| *word).collect();
        f.write_str(&words.join(" "))
    }
}

/// Names that one record shows, and bytes of each.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 256;

/// Commands that show data, or what there is, without naming any.
const LISTING: [&str; 5] = ["doc.collections", "doc.cursor|read", "keys", "randomkey", "scan"];

/// Whether a request says what is audited.
pub(super) fn changes_auditing(entry: &Entry, args: &Args) -> bool {
    let names = |word: &Bytes| word.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"audit-"));
    entry.name == "config|set" && args.from(2).iter().step_by(2).any(names)
}

/// What a command is to the audit log, whatever its arguments; None where that depends on them.
static KINDS: LazyLock<Vec<Option<Option<Event>>>> = LazyLock::new(|| {
    let depends = |entry: &Entry| {
        matches!(entry.command.run, Run::Mixed { .. }) || ["hello", "acl|log"].contains(&entry.name.as_str())
    };
    let kind = |entry: &Entry| (!depends(entry)).then(|| event_of(entry, &Args::new(Vec::new()), &Limits::default()));
    entries().iter().map(kind).collect()
});

/// What a command is to the audit log; None: nothing.
pub(super) fn event(entry: &Entry, args: &Args, limits: &Limits) -> Option<Event> {
    match KINDS.get(entry.index) {
        Some(Some(event)) => *event,
        _ => event_of(entry, args, limits),
    }
}

fn event_of(entry: &Entry, args: &Args, limits: &Limits) -> Option<Event> {
    let name = entry.name.as_str();
    let (family, within) = name.split_once(['|', '.']).unwrap_or((name, ""));
    let run = entry.command.run.with(args, limits);
    let (reads, writes) = (matches!(run, Run::Read(_)), matches!(run, Run::Write(_)));
    let changes = !reads && !["list", "status", "help"].contains(&within);
    match family {
        "auth" => Some(Event::Auth),
        "hello" => (2..args.len()).any(|at| args.is(at, "AUTH")).then_some(Event::Auth),
        "acl" if within == "log" => args.is(2, "RESET").then_some(Event::Acl),
        "acl" => ["setuser", "deluser", "setrole", "delrole", "load", "save"].contains(&within).then_some(Event::Acl),
        "key" => changes.then_some(Event::Key),
        "token" => changes.then_some(Event::Token),
        "replicaof" | "slaveof" | "failover" => Some(Event::Replication),
        "replica" => changes.then_some(Event::Replication),
        "flushall" | "flushdb" => Some(Event::Ddl),
        "doc" if ["create", "drop", "rename"].contains(&within) => Some(Event::Ddl),
        "idx" if writes => Some(Event::Ddl),
        "config" => ["set", "rewrite", "resetstat"].contains(&within).then_some(Event::Config),
        "shutdown" | "debug" | "monitor" => Some(Event::Config),
        "client" => ["kill", "pause", "unpause", "unblock"].contains(&within).then_some(Event::Config),
        "slowlog" | "latency" => (within == "reset").then_some(Event::Config),
        _ if writes && has_keys(entry.command) => Some(Event::Write),
        _ if reads && (has_keys(entry.command) || LISTING.contains(&name)) => Some(Event::Read),
        _ => None,
    }
}

/// The collections, keys, users or settings that a request names.
pub(super) fn names(entry: &Entry, args: &Args, limits: &Limits) -> Vec<String> {
    let at = |at: usize| args.get(at).map(text).into_iter().collect::<Vec<_>>();
    let name = entry.name.as_str();
    let (family, within) = name.split_once('|').unwrap_or((name, ""));
    match (family, within) {
        // The password stands alone, or after the user.
        ("auth", _) => {
            if args.len() > 2 {
                at(1)
            } else {
                vec!["default".to_owned()]
            }
        }
        ("hello", _) => hello_user(args).map(text).into_iter().collect(),
        ("acl", "deluser") => args.from(2).iter().take(NAMES_MAX).map(text).collect(),
        ("acl", _) => at(2),
        // Where a value stands in a name's place it may be a secret.
        ("config", "set") => {
            let settings = args.from(2).iter().step_by(2).filter_map(|name| Setting::find(name));
            settings.take(NAMES_MAX).map(|setting| setting.name.to_owned()).collect()
        }
        ("client", "kill") => args.from(2).iter().take(2).map(text).collect(),
        ("replicaof" | "slaveof", _) => args.from(1).iter().take(2).map(text).collect(),
        ("token.issue", _) => {
            (1..args.len()).step_by(2).find(|word| args.is(*word, "USER")).map_or(Vec::new(), |word| at(word + 1))
        }
        // What is given by mistake may be a whole token.
        ("token.revoke", _) => {
            let shown = args.from(1).iter().filter(|word| !word.starts_with(b"ey"));
            shown.take(2).map(text).collect()
        }
        ("client" | "debug", _) => at(1),
        _ => keys(entry, args, limits).iter().take(NAMES_MAX).map(|used| text(&used.key)).collect(),
    }
}

/// The user that HELLO names, where it is as it should be: a password may stand there else.
fn hello_user(args: &Args) -> Option<&Bytes> {
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "AUTH") {
            return args.get(at + 2).and_then(|_| args.get(at + 1));
        }
        at += 2;
    }
    None
}

/// As much of a name as is shown.
pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_commands::lookup::{Lookup, find};

    fn request(line: &'static str) -> (&'static Entry, Args) {
        let args = Args::new(line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect());
        let Lookup::Found(entry) = find(&args) else { panic!("{line}: no such command") };
        (entry, args)
    }

    #[test]
    fn events_are_read_as_they_are_shown() {
        assert_eq!(Events::default().to_string(), "auth denied acl key token config ddl replication");
        assert_eq!(Events::read("WRITE auth").unwrap().to_string(), "auth write");
        assert_eq!(Events::read("").unwrap().to_string(), "");
        assert!(Events::read("auth everything").is_err());
    }

    #[test]
    fn a_command_is_of_one_kind_and_names_no_secret() {
        let check = |line: &'static str, expected: Option<Event>, named: &[&str]| {
            let (entry, args) = request(line);
            assert_eq!(event(entry, &args, &Limits::default()), expected, "{line}");
            assert_eq!(names(entry, &args, &Limits::default()), named, "{line}");
        };
        check("AUTH secret", Some(Event::Auth), &["default"]);
        check("AUTH ada secret", Some(Event::Auth), &["ada"]);
        check("HELLO 3 AUTH ada secret", Some(Event::Auth), &["ada"]);
        check("HELLO 3 SETNAME auth AUTH ada secret", Some(Event::Auth), &["ada"]);
        check("HELLO 3 AUTH secret", Some(Event::Auth), &[]);
        check("CONFIG SET timeout requirepass secret", Some(Event::Config), &["timeout"]);
        check("CLIENT KILL ID 7", Some(Event::Config), &["ID", "7"]);
        check("DOC.AGGREGATE c []", Some(Event::Read), &["c"]);
        check("SCAN 0", Some(Event::Read), &[]);
        check("HELLO 3", None, &[]);
        check("CONFIG SET requirepass secret timeout 3", Some(Event::Config), &["requirepass", "timeout"]);
        check("CONFIG GET timeout", None, &[]);
        check("KEY.ROTATE", Some(Event::Key), &[]);
        check("TOKEN.ISSUE USER ada CLAIMS {}", Some(Event::Token), &["ada"]);
        check("TOKEN.ISSUE CLAIMS USER {}", Some(Event::Token), &[]);
        check("TOKEN.ISSUE", Some(Event::Token), &[]);
        check("TOKEN.REVOKE 7", Some(Event::Token), &["7"]);
        check("TOKEN.REVOKE USER ada", Some(Event::Token), &["USER", "ada"]);
        check("TOKEN.REVOKE eyJ.a.b", Some(Event::Token), &[]);
        check("TOKEN.ROTATE", Some(Event::Token), &[]);
        check("TOKEN.LIST", None, &[]);
        check("KEY.STATUS", None, &[]);
        check("DOC.DROP c", Some(Event::Ddl), &["c"]);
        check("IDX.CREATE c i {}", Some(Event::Ddl), &["c"]);
        check("IDX.LIST c", Some(Event::Read), &["c"]);
        check("FLUSHALL", Some(Event::Ddl), &[]);
        check("DOC.SET c 1 {}", Some(Event::Write), &["c"]);
        check("DOC.GET c 1", Some(Event::Read), &["c"]);
        check("MSET a 1 b 2", Some(Event::Write), &["a", "b"]);
        check("PING", None, &[]);
        check("SUBSCRIBE a", None, &[]);
    }
}
