//! Waiting for changes: what it costs, and what ends it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Server, Value, request};

use super::follower::{answer, changes, until};

const COLLECTION: &str = "c";
/// How many wait at once.
const READERS: usize = 1000;

/// Asks for changes on a connection of its own, and does not read the answer.
fn waiting(server: &Server, words: &[&str]) -> Result<Client> {
    let mut client = server.client()?;
    let mut all = vec!["DOC.CHANGES"];
    all.extend(words);
    client.send(&request(&all))?;
    Ok(client)
}

fn threads(server: &Server) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().context("it runs")?))?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).context("no Threads")?;
    Ok(threads.trim().parse()?)
}

fn blocked(client: &mut Client) -> Result<usize> {
    let list = client.ask(&["CLIENT", "LIST"])?;
    Ok(list.expect_text().lines().filter(|line| line.contains(" flags=b")).count())
}

fn until_blocked(client: &mut Client, count: usize) -> Result<()> {
    until(&format!("{count} wait"), || Ok(blocked(client)? == count))
}

#[test]
fn a_thousand_wait_and_nobody_else_does() -> Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_some_and(|most| most < READERS as u64 + 200) {
        let current = limit.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current, ..limit })?;
    }
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["DOC.SET", COLLECTION, "a", "{}"])?;
    client.ask(&["DOC.SET", "busy", "a", "{}"])?;
    let (start, _) = changes(&mut client, &[COLLECTION])?;
    let before = threads(&server)?;
    let readers: Result<Vec<Client>> =
        (0..READERS).map(|_| waiting(&server, &[COLLECTION, "AFTER", &start, "BLOCK", "0"])).collect();
    let mut readers = readers?;
    until_blocked(&mut client, READERS)?;
    let after = threads(&server)?;
    println!("{READERS} wait, {after} threads, {before} before");
    // Some of the pool's threads may have come for what was asked otherwise.
    ensure!(after < before + 20, "{after} threads, {before} before");
    // Others write elsewhere, which wakes all of them.
    let mut worst = Duration::ZERO;
    let began = Instant::now();
    for at in 0..300 {
        client.ask(&["DOC.SET", "busy", &format!("{}", at % 10), r#"{"x":1}"#])?;
        let asked = Instant::now();
        client.ask(&["PING"])?;
        worst = worst.max(asked.elapsed());
    }
    println!("300 writes beside them took {:?}, the slowest PING {worst:?}", began.elapsed());
    ensure!(worst < Duration::from_secs(10), "a PING took {worst:?}");
    ensure!(blocked(&mut client)? == READERS);
    let told = Instant::now();
    client.ask(&["DOC.SET", COLLECTION, "b", "{}"])?;
    for reader in &mut readers {
        let (_, events) = answer(&reader.read()?)?;
        ensure!(events.len() == 1 && events[0]["id"] == "b", "{events:?}");
    }
    println!("all were told within {:?}", told.elapsed());
    ensure!(blocked(&mut client)? == 0);
    Ok(())
}

#[test]
fn what_ends_it() -> Result<()> {
    let mut server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["DOC.SET", COLLECTION, "a", "{}"])?;
    let (start, _) = changes(&mut client, &[COLLECTION])?;
    let after = [COLLECTION, "AFTER", &start];
    // Its time, with a place to go on from.
    let began = Instant::now();
    let (token, events) = changes(&mut client, &[&after[..], &["BLOCK", "100"]].concat())?;
    ensure!(events.is_empty() && token == start && began.elapsed() >= Duration::from_millis(100));
    // Who leaves.
    let gone = waiting(&server, &[&after[..], &["BLOCK", "0"]].concat())?;
    until_blocked(&mut client, 1)?;
    drop(gone);
    until_blocked(&mut client, 0)?;
    // CLIENT UNBLOCK, in both ways.
    for (how, is_error) in [("TIMEOUT", false), ("ERROR", true)] {
        let mut other = server.client()?;
        let id = other.ask(&["CLIENT", "ID"])?.expect_integer().to_string();
        other.send(&request(&[&["DOC.CHANGES"][..], &after, &["BLOCK", "0"]].concat()))?;
        until_blocked(&mut client, 1)?;
        ensure!(client.ask(&["CLIENT", "UNBLOCK", &id, how])? == Value::Integer(1));
        let reply = other.read()?;
        ensure!(if is_error { reply.is_error("UNBLOCKED") } else { answer(&reply)?.1.is_empty() }, "{reply}");
        // What comes after it in the pipeline is answered.
        ensure!(other.ask(&["PING"])? == Value::Simple("PONG".into()));
    }
    // Being killed, and the end of the server.
    let mut other = server.client()?;
    let id = other.ask(&["CLIENT", "ID"])?.expect_integer().to_string();
    other.send(&request(&[&["DOC.CHANGES"][..], &after, &["BLOCK", "0"]].concat()))?;
    until_blocked(&mut client, 1)?;
    client.ask(&["CLIENT", "KILL", "ID", &id])?;
    ensure!(other.read().is_err());
    let mut last = waiting(&server, &[&after[..], &["BLOCK", "0"]].concat())?;
    until_blocked(&mut client, 1)?;
    let began = Instant::now();
    server.stop()?;
    ensure!(last.read().is_err() && began.elapsed() < Duration::from_secs(30));
    Ok(())
}

/// All that has to do with the name that is waited for is seen, without a look at the log where nothing has.
#[test]
fn drops_names_and_other_names_wake_as_well() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let told = |client: &mut Client, requests: &[&[&str]], op: &str| -> Result<()> {
        for setup in [true, false] {
            if setup {
                for name in ["a", "b", "quiet"] {
                    client.run(&["DOC.DROP", name])?;
                }
                client.ask(&["DOC.SET", "a", "x", "{}"])?;
                client.ask(&["DOC.SET", "b", "x", "{}"])?;
                continue;
            }
            let (start, _) = changes(client, &["a"])?;
            let mut waits = waiting(&server, &["a", "AFTER", &start, "BLOCK", "0"])?;
            until_blocked(client, 1)?;
            client.ask(&["DOC.SET", "quiet", "x", "{}"])?;
            for request in requests {
                client.ask(request)?;
            }
            let (_, events) = answer(&waits.read()?)?;
            ensure!(events.first().is_some_and(|event| event["op"] == op), "{op}: {events:?}");
        }
        Ok(())
    };
    told(&mut client, &[&["DOC.DROP", "a"]], "drop")?;
    told(&mut client, &[&["DOC.RENAME", "a", "c"], &["DOC.RENAME", "c", "a"]], "rename")?;
    told(&mut client, &[&["DOC.DEL", "a", "x"]], "delete")?;
    told(&mut client, &[&["FLUSHDB"]], "drop")?;
    told(&mut client, &[&["DOC.AGGREGATE", "b", r#"[{"$out":"a"}]"#]], "drop")?;
    Ok(())
}
