//! What one answer holds, how long one turn takes, and what the server needs for it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::{Options, request};

use super::follower::{answer, changes};

#[test]
fn an_answer_is_bounded_and_so_is_the_memory_for_it() -> Result<()> {
    let server = Options::new().set("changes-reply-size", "100kb").set("maxmemory-cache", "1mb").start()?;
    let mut client = server.client()?;
    let fill = "z".repeat(40_000);
    // One unit of four megabytes, and one document alone.
    let mut all = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
    all.extend((0..100).map(|at| format!(r#"{{"_id":"{at}","fill":"{fill}"}}"#)));
    client.ask(&all)?;
    client.ask(&["DOC.SET", "c", "large", &format!(r#"{{"fill":"{}"}}"#, fill.repeat(30))])?;
    let before = server.resident()?;
    let mut token = "EARLIEST".to_owned();
    let (mut sizes, mut given) = (Vec::new(), 0);
    loop {
        let (next, events) = changes(&mut client, &["c", "AFTER", &token])?;
        if next == token {
            break;
        }
        sizes.push(events.iter().map(|event| event.to_string().len()).sum::<usize>());
        given += events.len();
        ensure!(events.len() <= 3, "{} events", events.len());
        token = next;
    }
    ensure!(given == 101 && sizes.last().is_some_and(|size| *size > 1_000_000), "{given} events: {sizes:?}");
    // Many at once, who do not read their answers.
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut reader = server.client()?;
        reader.send(&request(&["DOC.CHANGES", "c", "EARLIEST"]))?;
        readers.push(reader);
    }
    for reader in &mut readers {
        // None where reading the group has taken all of the turn.
        ensure!(answer(&reader.read()?)?.1.len() <= 3);
    }
    let grown = server.resident()?.saturating_sub(before) >> 20;
    println!("{grown} MiB more after {} answers", sizes.len() + readers.len());
    ensure!(grown < 150, "{grown} MiB more");
    Ok(())
}

#[test]
fn a_filter_that_finds_nothing_moves_on_in_turns() -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    for part in 0..40 {
        let mut all = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
        all.extend((0..500).map(|at| format!(r#"{{"_id":"{part}-{at}","n":{at},"text":"{}"}}"#, "w".repeat(100))));
        client.ask(&all)?;
    }
    let filter = r#"{"$expr":{"$gt":[{"$reduce":{"input":{"$range":[0,20]},"initialValue":0,"in":{"$add":["$$value","$n"]}}},1000000]}}"#;
    let (end, _) = changes(&mut client, &["c"])?;
    let mut other = server.client()?;
    let mut token = "EARLIEST".to_owned();
    let (mut turns, mut worst) = (0, Duration::ZERO);
    while token != end {
        other.send(&request(&["DOC.CHANGES", "c", "AFTER", &token, "MATCH", filter]))?;
        let asked = Instant::now();
        client.ask(&["PING"])?;
        worst = worst.max(asked.elapsed());
        let (next, events) = answer(&other.read()?)?;
        ensure!(events.is_empty() && next != token, "turn {turns}");
        (token, turns) = (next, turns + 1);
    }
    println!("{turns} turns, the slowest PING {worst:?}");
    ensure!(turns >= 1, "{turns} turns");
    ensure!(worst < Duration::from_secs(10), "a PING took {worst:?}");
    Ok(())
}
