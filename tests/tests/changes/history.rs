//! What is kept of the past, and what is said of what is not.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use veddb_tests::{Client, Options, Server};

use super::follower::{Follower, all, changes, stored, until};

const COLLECTION: &str = "old";

/// Small, so that there are checkpoints and segments all the time.
fn options(kept: &str) -> Options {
    Options::new()
        .set("log-segment-size", "1mb")
        .set("maxmemory-writes", "1mb")
        .set("changes-log-size", kept)
        .set("disk-reserve", "0")
}

/// Writes so many documents of two kilobytes, in transactions of ten.
fn fill(client: &mut Client, name: &str, documents: usize) -> Result<()> {
    for part in 0..documents / 10 {
        let mut request = vec!["DOC.INSERT".to_owned(), COLLECTION.to_owned()];
        request.extend((0..10).map(|at| format!(r#"{{"_id":"{name}-{part}-{at}","fill":"{}"}}"#, "y".repeat(2000))));
        client.ask(&request)?;
    }
    Ok(())
}

fn is_lost(client: &mut Client, token: &str) -> Result<bool> {
    let reply = client.run(&["DOC.CHANGES", COLLECTION, "AFTER", token, "COUNT", "1"])?;
    Ok(reply.is_error("HISTORYLOST"))
}

/// How many bytes of log there are.
fn log_bytes(server: &Server) -> Result<u64> {
    Ok(server.client()?.figure("persistence", "log_disk_bytes")?.parse()?)
}

#[test]
fn what_was_trimmed_is_an_error_and_what_is_kept_is_whole() -> Result<()> {
    let mut server = options("4mb").start()?;
    let mut client = server.client()?;
    fill(&mut client, "a", 200)?;
    let (early, events) = all(&mut client, COLLECTION, None)?;
    ensure!(events.len() == 200);
    let mut follower = Follower::default();
    // Two megabytes are kept whole; twenty are not.
    fill(&mut client, "b", 1000)?;
    while follower.follow(&mut client, COLLECTION, 1000, 1)? > 0 {}
    ensure!(follower.documents == stored(&mut client, COLLECTION)?);
    let middle = follower.token.clone().context("no token")?;
    fill(&mut client, "c", 9000)?;
    until("the first changes are gone", || is_lost(&mut client, &early))?;
    ensure!(is_lost(&mut client, "EARLIEST")?);
    let (_, recent) = changes(&mut client, &[COLLECTION])?;
    ensure!(recent.is_empty());
    // Beside what is kept there is what came since the last checkpoint, and what came while that was written.
    let bytes = log_bytes(&server)?;
    ensure!(bytes < 16 << 20, "{bytes} bytes of log");
    // A slow follower is told, and nobody is given what comes after a gap.
    let mut lost = 0;
    for token in [&early, &middle] {
        if is_lost(&mut client, token)? {
            lost += 1;
        } else {
            let (_, rest) = all(&mut client, COLLECTION, Some(token))?;
            ensure!(rest.len() % 1000 == 0, "{} of the rest", rest.len());
        }
    }
    println!("{lost} of 2 tokens are lost, {bytes} bytes of log");
    let (end, _) = changes(&mut client, &[COLLECTION])?;
    server.kill()?;
    server.restart()?;
    let mut client = server.client()?;
    ensure!(is_lost(&mut client, &early)? && !is_lost(&mut client, &end)?);
    // More is kept from now on, and what was called otherwise then is known by that name.
    client.ask(&["CONFIG", "SET", "changes-log-size", "1gb"])?;
    client.ask(&["DOC.SET", "first", "x", "{}"])?;
    client.ask(&["DOC.RENAME", "first", "second"])?;
    client.ask(&["DOC.SET", "second", "x", "{}"])?;
    client.ask(&["DOC.DROP", "second"])?;
    fill(&mut client, "d", 4000)?;
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    let ops = |client: &mut Client, name: &str| -> Result<Vec<String>> {
        let (_, events) = changes(client, &[name, "AFTER", &end])?;
        Ok(events.iter().map(|event| event["op"].as_str().unwrap_or_default().to_owned()).collect())
    };
    until("they are read", || Ok(ops(&mut client, "first")? == ["insert", "rename"]))?;
    ensure!(ops(&mut client, "second")? == ["rename", "replace", "drop"]);
    let (_, rest) = all(&mut client, COLLECTION, Some(&end))?;
    ensure!(rest.len() == 4000, "{}", rest.len());
    Ok(())
}

#[test]
fn reading_on_at_every_token_gives_the_same() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    for round in 0..5 {
        fill(&mut client, &round.to_string(), 10)?;
        client.ask(&["SET", "key", "value"])?;
        client.ask(&["DOC.UPDATE", COLLECTION, r#"{"_id":{"$regex":"-3$"}}"#, r#"{"$inc":{"n":1}}"#])?;
        client.ask(&["DOC.DEL", COLLECTION, &format!("{round}-0-5")])?;
        client.ask(&["DOC.SET", "other", "x", "{}"])?;
    }
    for collection in [COLLECTION, "*"] {
        let (_, events) = all(&mut client, collection, None)?;
        ensure!(events.len() > 60, "{}", events.len());
        for (at, event) in events.iter().enumerate() {
            let token = event["token"].as_str().context("no token")?;
            let (_, rest) = all(&mut client, collection, Some(token))?;
            ensure!(rest == events[at + 1..], "after event {at}");
        }
        // One at a time comes to the same, tokens included.
        let mut token = "EARLIEST".to_owned();
        for (at, event) in events.iter().enumerate() {
            let (mut next, mut one) = (token, Vec::new());
            while one.is_empty() {
                (next, one) = changes(&mut client, &[collection, "AFTER", &next, "COUNT", "1", "FULLDOC"])?;
            }
            ensure!(one == [event.clone()], "event {at}");
            token = next;
        }
    }
    Ok(())
}

#[test]
fn a_rotation_of_the_key_loses_nothing() -> Result<()> {
    let server = options("1gb").start()?;
    let mut client = server.client()?;
    fill(&mut client, "a", 2000)?;
    let (early, _) = changes(&mut client, &[COLLECTION, "EARLIEST", "COUNT", "3"])?;
    let (_, before) = all(&mut client, COLLECTION, None)?;
    let state = |client: &mut Client| client.figure("encryption", "rotation_state");
    client.ask(&["KEY.ROTATE", "RATE", "1000"])?;
    // What was written before is under the old key, what comes now under the new one.
    fill(&mut client, "b", 100)?;
    let (_, meanwhile) = all(&mut client, COLLECTION, None)?;
    ensure!(meanwhile.len() == 2100 && meanwhile[..2000] == before[..]);
    println!("the rotation is {}", state(&mut client)?);
    until("the rotation is completed", || Ok(state(&mut client)? == "completed"))?;
    let list = client.ask(&["KEY.LIST"])?;
    ensure!(list.expect_array().len() == 1, "{list}");
    let (_, after) = all(&mut client, COLLECTION, None)?;
    ensure!(after == meanwhile, "{} events, {} before", after.len(), meanwhile.len());
    let (_, tail) = all(&mut client, COLLECTION, Some(&early))?;
    ensure!(tail == after[3..]);
    Ok(())
}

/// A follower that reads on during a rotation under load, and a kill in the middle of it.
#[test]
fn a_rotation_that_is_killed_loses_nothing() -> Result<()> {
    let mut server = options("1gb").start()?;
    let mut client = server.client()?;
    fill(&mut client, "a", 3000)?;
    let (_, before) = all(&mut client, COLLECTION, None)?;
    for round in 0..3 {
        let mut client = server.client()?;
        client.run(&["KEY.ROTATE"])?;
        // Wherever it is by then.
        thread::sleep(Duration::from_millis(150 * (round + 1)));
        server.kill()?;
        server.restart()?;
    }
    let mut client = server.client()?;
    until("the rotation is completed", || Ok(client.figure("encryption", "rotation_state")? == "completed"))?;
    let (_, after) = all(&mut client, COLLECTION, None)?;
    ensure!(after == before, "{} events, {} before", after.len(), before.len());
    Ok(())
}

/// At `everysec` and `no` a change is told once it is on disk: within about a second of it being asked for.
#[test]
fn nothing_is_told_before_it_is_on_disk() -> Result<()> {
    for policy in ["everysec", "no"] {
        let server = Options::new().set("appendfsync", policy).start()?;
        let mut client = server.client()?;
        let (start, _) = changes(&mut client, &[COLLECTION])?;
        client.ask(&["DOC.SET", COLLECTION, "a", "{}"])?;
        let (_, events) = changes(&mut client, &[COLLECTION, "AFTER", &start, "BLOCK", "30000"])?;
        ensure!(events.len() == 1, "{policy}: {events:?}");
        client.ask(&["DOC.SET", COLLECTION, "b", "{}"])?;
        client.ask(&["WAITAOF", "1", "0", "0"])?;
        let (_, events) = changes(&mut client, &[COLLECTION, "AFTER", &start])?;
        let ids: Vec<&Json> = events.iter().map(|event| &event["id"]).collect();
        ensure!(ids == ["a", "b"], "{policy}: {ids:?}");
    }
    Ok(())
}
