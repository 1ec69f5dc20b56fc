//! Every command, by every role, on names that the user may touch and on others: as `tests/data/acl/rights.txt` says, alone and queued,
//! and as ACL DRYRUN says.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use veddb_tests::{Client, Options, Server, Value};

const TABLE: &str = include_str!("../../data/acl/rights.txt");

/// The roles by their letters in the table.
const ROLES: [(char, &str); 6] =
    [('r', "reader"), ('w', "writer"), ('a', "admin"), ('m', "monitor"), ('s', "sentinel"), ('p', "replica")];

/// A line of the table.
struct Line {
    roles: String,
    kind: char,
    /// It is not sent where it is allowed.
    ends: bool,
    /// It is not sent at all.
    only_asked: bool,
    request: String,
}

fn lines() -> Vec<Line> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_else(|| panic!("a line has three parts: {line}")).to_owned();
        let (roles, kind, request) = (part(), part(), part());
        Line {
            roles,
            kind: kind.chars().last().expect("a kind"),
            ends: kind.starts_with('!'),
            only_asked: kind.starts_with('?'),
            request,
        }
    };
    lines.map(line).collect()
}

fn words(request: &str, whose: &str) -> Vec<String> {
    let request = request.replace("{n}", &format!("{whose}:1")).replace("{p}", &format!("{whose}*"));
    request.split(' ').map(str::to_owned).collect()
}

/// What is refused: nothing, the command, a key, or a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Nothing,
    Command,
    Key,
    Channel,
}

fn of_reply(reply: &Value) -> Refused {
    let Value::Error(message) = reply else { return Refused::Nothing };
    match message.strip_prefix("NOPERM ") {
        None => Refused::Nothing,
        Some("No permissions to access a key") => Refused::Key,
        Some("No permissions to access a channel") => Refused::Channel,
        Some(other) => {
            assert!(other.contains("has no permissions to run the"), "{other}");
            Refused::Command
        }
    }
}

fn of_dry_run(reply: &Value) -> Refused {
    let text = reply.expect_text();
    match text {
        "OK" => Refused::Nothing,
        _ if text.ends_with("' command") => Refused::Command,
        _ if text.ends_with("' key") => Refused::Key,
        _ => Refused::Channel,
    }
}

fn server() -> Result<(Server, Client)> {
    let server = Options::new().set("appendfsync", "no").set("maxclients", "20000").start()?;
    let mut client = server.client()?;
    for whose in ["own", "other"] {
        for document in 1..3 {
            client.ask(&["DOC.SET", &format!("{whose}:1"), &document.to_string(), r#"{"a":1}"#])?;
            client.ask(&["DOC.SET", &format!("{whose}:2"), &document.to_string(), r#"{"a":1}"#])?;
        }
    }
    Ok((server, client))
}

fn log_in(server: &Server, user: &str) -> Result<Client> {
    let mut client = server.client()?;
    client.ask(&["AUTH", user, "x"])?;
    Ok(client)
}

/// Asks for it dry, then for real, alone and queued.
fn check(server: &Server, admin: &mut Client, user: &str, line: &Line, whose: &str, expected: Refused) -> Result<()> {
    let words = words(&line.request, whose);
    let case = || format!("{user}: {}", words.join(" "));
    let mut dry = vec!["ACL".to_owned(), "DRYRUN".to_owned(), user.to_owned()];
    dry.extend(words.iter().cloned());
    assert_eq!(of_dry_run(&admin.run(&dry).with_context(case)?), expected, "ACL DRYRUN {}", case());
    if line.only_asked || (line.ends && expected == Refused::Nothing) {
        return Ok(());
    }
    let reply = log_in(server, user)?.run(&words).with_context(case)?;
    assert_eq!(of_reply(&reply), expected, "{}: {reply}", case());
    let at_once = ["MULTI", "EXEC", "DISCARD", "WATCH", "QUIT", "RESET", "AUTH", "HELLO"];
    let queues = ["reader", "writer", "admin", "half"].iter().any(|role| user.starts_with(role));
    if queues && !at_once.contains(&words[0].as_str()) {
        let mut client = log_in(server, user)?;
        client.ask(&["MULTI"])?;
        let reply = client.run(&words).with_context(case)?;
        assert_eq!(of_reply(&reply), expected, "queued: {}: {reply}", case());
    }
    Ok(())
}

#[test]
fn every_command_is_allowed_to_whom_the_table_says() -> Result<()> {
    let (server, mut admin) = server()?;
    for (_, role) in ROLES {
        admin.ask(&["ACL", "SETUSER", role, "on", "nopass", "~own*", "&own*", &format!("+role:{role}")])?;
    }
    for line in lines() {
        for (letter, role) in ROLES {
            let may = line.roles.contains(letter);
            let on_own = if may { Refused::Nothing } else { Refused::Command };
            let on_other = match line.kind {
                _ if !may => Refused::Command,
                '-' => Refused::Nothing,
                'c' => Refused::Channel,
                _ => Refused::Key,
            };
            check(&server, &mut admin, role, &line, "other", on_other)?;
            check(&server, &mut admin, role, &line, "own", on_own)?;
        }
    }
    Ok(())
}

#[test]
fn reading_and_writing_are_apart() -> Result<()> {
    let (server, mut admin) = server()?;
    for (user, rule) in [("half-reads", "%R~own*"), ("half-writes", "%W~own*"), ("half-both", "%RW~own*")] {
        admin.ask(&["ACL", "SETUSER", user, "on", "nopass", rule, "allchannels", "+@all"])?;
    }
    for line in lines().iter().filter(|line| "erwb".contains(line.kind)) {
        for (user, kinds) in [("half-reads", "er"), ("half-writes", "ew"), ("half-both", "erwb")] {
            let expected = if kinds.contains(line.kind) { Refused::Nothing } else { Refused::Key };
            check(&server, &mut admin, user, line, "own", expected)?;
            check(&server, &mut admin, user, line, "other", Refused::Key)?;
        }
    }
    Ok(())
}

#[test]
fn the_table_has_every_command() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let mut missing = BTreeSet::new();
    fn add(commands: &Value, missing: &mut BTreeSet<String>) {
        for command in commands.expect_array() {
            let parts = command.expect_array();
            let subcommands = &parts[9];
            // A container does nothing by itself, but for COMMAND.
            if subcommands.expect_array().is_empty() || parts[0].expect_text() == "command" {
                missing.insert(parts[0].expect_text().to_owned());
            }
            add(subcommands, missing);
        }
    }
    add(&client.ask(&["COMMAND"])?, &mut missing);
    for line in lines() {
        let words: Vec<String> = line.request.to_lowercase().split(' ').map(str::to_owned).collect();
        missing.remove(&words[0]);
        if let Some(second) = words.get(1) {
            missing.remove(&format!("{}|{second}", words[0]));
        }
    }
    assert!(missing.is_empty(), "not in tests/data/acl/rights.txt: {missing:?}");
    Ok(())
}

#[test]
fn what_may_not_be_touched_is_not_listed() -> Result<()> {
    let (server, mut admin) = server()?;
    for key in ["own:a", "own:b", "other:a", "read:a", "written:a"] {
        admin.ask(&["SET", key, "x"])?;
    }
    for collection in ["read", "written"] {
        admin.ask(&["DOC.CREATE", collection])?;
    }
    admin.ask(&[
        "ACL",
        "SETUSER",
        "ada",
        "on",
        "nopass",
        "~own*",
        "%R~read*",
        "(%W~written* +set)",
        "+@all",
        "&own*",
    ])?;
    let mut ada = log_in(&server, "ada")?;
    let seen = ["own:a", "own:b", "read:a", "written:a"].map(str::to_owned);
    let sorted = |reply: &Value| {
        let mut all: Vec<String> = reply.expect_array().iter().map(|key| key.expect_text().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&ada.ask(&["KEYS", "*"])?), seen);
    let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let reply = ada.ask(&["SCAN", &cursor, "COUNT", "1"])?;
        found.extend(sorted(&reply.expect_array()[1]));
        cursor = reply.expect_array()[0].expect_text().to_owned();
        if cursor == "0" {
            break;
        }
    }
    found.sort();
    assert_eq!(found, seen);
    for _ in 0..50 {
        assert!(seen.contains(&ada.ask(&["RANDOMKEY"])?.expect_text().to_owned()));
    }
    assert_eq!(sorted(&ada.ask(&["DOC.COLLECTIONS"])?), ["own:1", "own:2", "read", "written"]);
    let mut listener = server.client()?;
    for channel in ["own:x", "other:x"] {
        listener.ask(&["SUBSCRIBE", channel])?;
    }
    assert_eq!(sorted(&ada.ask(&["PUBSUB", "CHANNELS"])?), ["own:x"]);
    assert_eq!(ada.ask(&["PUBSUB", "NUMSUB", "other:x"])?.expect_array()[1].expect_integer(), 0);
    // A cursor is its user's, and is gone when its rights have changed.
    let open = ada.ask(&["DOC.FIND", "own:1", "{}", "CURSOR", "1"])?;
    let cursor = open.expect_array()[0].expect_integer().to_string();
    assert!(admin.run(&["DOC.CURSOR", "READ", &cursor])?.is_error("NOCURSOR"));
    assert_eq!(admin.run(&["DOC.CURSOR", "DEL", &cursor])?.expect_integer(), 0);
    admin.ask(&["ACL", "SETUSER", "ada", "-get"])?;
    assert!(ada.run(&["DOC.CURSOR", "READ", &cursor])?.is_error("NOCURSOR"));
    Ok(())
}
