//! MULTI and EXEC: the same answers as one by one, all or nothing, and no update lost between WATCH and EXEC.
//!
//! `VEDDB_SEED` repeats a run, `VEDDB_TRANSACTIONS` makes it longer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use veddb_tests::{Client, Options, Random, Value, seed, setting};

fn id(random: &mut Random) -> String {
    format!("id-{}", random.below(12))
}

fn document(random: &mut Random) -> String {
    let mut body = json!({"_id": id(random), "g": random.below(4), "n": random.below(100)});
    if random.one_in(2) {
        // Taken by another document, often.
        body["u"] = json!(random.below(20));
    }
    body.to_string()
}

fn filter(random: &mut Random) -> String {
    match random.below(5) {
        0 => json!({"_id": id(random)}),
        1 => json!({"g": random.below(4)}),
        2 => json!({"n": {"$gte": random.below(100)}}),
        3 => json!({"u": {"$exists": true}, "g": {"$ne": random.below(4)}}),
        _ => json!({}),
    }
    .to_string()
}

fn update(random: &mut Random) -> String {
    match random.below(5) {
        0 => json!({"$inc": {"n": random.below(9)}}),
        1 => json!({"$set": {"u": random.below(20)}}),
        2 => json!({"$push": {"l": random.below(9)}}),
        3 => json!([{"$set": {"n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}}}]),
        _ => json!({"$inc": {"_id": 1}}),
    }
    .to_string()
}

/// A command with the same answer whenever it finds the same data.
fn command(random: &mut Random) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new(), ["one", "two"][random.below(2)].to_owned()];
    let name = match random.below(14) {
        0 | 1 => {
            words.extend((0..=random.below(3)).map(|_| document(random)));
            if random.one_in(3) {
                words.push("UNORDERED".into());
            }
            "DOC.INSERT"
        }
        2 => {
            words.extend([id(random), json!({"g": random.below(4), "u": random.below(20)}).to_string()]);
            match random.below(4) {
                0 => words.push("NX".into()),
                1 => words.push("XX".into()),
                2 => words.extend(["IFVER".into(), random.below(3).to_string()]),
                _ => {}
            }
            "DOC.SET"
        }
        3 | 4 => {
            words.extend([filter(random), update(random)]);
            if random.one_in(3) {
                words.push("ONE".into());
            }
            "DOC.UPDATE"
        }
        5 => {
            words.extend([filter(random), update(random), "SORT".into(), r#"{"n":1,"_id":1}"#.into(), "NEW".into()]);
            "DOC.FINDANDMODIFY"
        }
        6 => {
            words.extend([id(random), id(random)]);
            "DOC.DEL"
        }
        7 => {
            words.extend([json!({"g": random.below(4), "n": {"$lt": 50}}).to_string(), "ONE".into()]);
            "DOC.DELETE"
        }
        8 => {
            let operations = json!([
                {"insertOne": {"document": {"_id": id(random), "g": 1}}},
                {"updateMany": {"filter": {"g": 1}, "update": {"$inc": {"n": 1}}}},
                {"deleteOne": {"filter": {"_id": id(random)}}},
            ]);
            words.push(operations.to_string());
            "DOC.BULK"
        }
        9 => {
            words.push(id(random));
            "DOC.GET"
        }
        10 => {
            words.extend([filter(random), "SORT".into(), r#"{"n":1,"_id":1}"#.into()]);
            "DOC.FIND"
        }
        11 => {
            words.push(filter(random));
            "DOC.COUNT"
        }
        12 => {
            words.extend(["u".into(), filter(random)]);
            "DOC.DISTINCT"
        }
        _ => {
            let group =
                json!([{"$group": {"_id": "$g", "n": {"$sum": "$n"}, "c": {"$sum": 1}}}, {"$sort": {"_id": 1}}]);
            words.push(group.to_string());
            "DOC.AGGREGATE"
        }
    };
    words[0] = name.to_owned();
    words
}

#[test]
fn answers_are_those_of_one_by_one() -> Result<()> {
    let rounds = setting("VEDDB_TRANSACTIONS", 400) as usize;
    let mut random = Random::new(seed());
    // Checkpoints in between, so that what is read is in all places.
    let server = Options::new().set("maxmemory-writes", "1mb").set("appendfsync", "no").start()?;
    let (mut plain, mut within) = (Client::connect(server.port())?, Client::connect(server.port())?);
    within.ask(&["SELECT", "1"])?;
    for client in [&mut plain, &mut within] {
        for collection in ["one", "two"] {
            client.ask(&["DOC.CREATE", collection])?;
            client.ask(&["IDX.CREATE", collection, "u", r#"{"u":1}"#, "UNIQUE", "SPARSE", "SYNC"])?;
            client.ask(&["IDX.CREATE", collection, "g", r#"{"g":1,"n":1}"#, "SYNC"])?;
        }
    }
    for round in 0..rounds {
        let commands: Vec<Vec<String>> = (0..1 + random.below(12)).map(|_| command(&mut random)).collect();
        let expected = plain.pipeline(&commands)?;
        ensure!(within.ask(&["MULTI"])? == Value::Simple("OK".into()), "MULTI");
        let queued = within.pipeline(&commands)?;
        ensure!(queued.iter().all(|reply| *reply == Value::Simple("QUEUED".into())), "{queued:?}");
        let answers = within.ask(&["EXEC"])?;
        for ((command, expected), answer) in commands.iter().zip(&expected).zip(answers.expect_array()) {
            ensure!(expected == answer, "round {round}: {}\n{expected}\nwithin EXEC\n{answer}", command.join(" "));
        }
    }
    for client in [&mut plain, &mut within] {
        for collection in ["one", "two"] {
            let verified = client.ask(&["IDX.VERIFY", collection])?;
            for wrong in ["missing", "dangling"] {
                ensure!(verified.get(wrong) == Some(&Value::Integer(0)), "{verified}");
            }
        }
    }
    Ok(())
}

#[test]
fn all_or_nothing() -> Result<()> {
    let rounds = setting("VEDDB_CRASH_ROUNDS", 5) as usize;
    let mut random = Random::new(seed());
    let mut server = Options::new().set("maxmemory-writes", "1mb").start()?;
    let mut acknowledged = 0;
    for round in 0..rounds {
        let port = server.port();
        let writer = thread::spawn(move || {
            let mut last = acknowledged;
            let Ok(mut client) = Client::connect(port) else { return last };
            loop {
                let body = format!(r#"{{"n":{}}}"#, last + 1);
                let both = [
                    vec!["MULTI"],
                    vec!["DOC.SET", "a", "x", &body],
                    vec!["DOC.UPDATE", "a", "{}", r#"{"$set":{"seen":true}}"#],
                    vec!["DOC.SET", "b", "x", &body],
                    vec!["EXEC"],
                ];
                match client.pipeline(&both) {
                    Ok(replies) if matches!(replies.last(), Some(Value::Array(_))) => last += 1,
                    _ => return last,
                }
            }
        });
        thread::sleep(std::time::Duration::from_millis(50 + random.below(200) as u64));
        server.kill()?;
        acknowledged = writer.join().expect("the writer panicked");
        server.restart()?;
        let mut client = Client::connect(server.port())?;
        let mut n = |collection: &str| -> Result<u64> {
            let document = client.ask(&["DOC.GET", collection, "x"])?;
            let Value::Bulk(_) = document else { return Ok(0) };
            let document: serde_json::Value = serde_json::from_str(document.expect_text())?;
            document["n"].as_u64().context("no n")
        };
        let (a, b) = (n("a")?, n("b")?);
        ensure!(a == b && a >= acknowledged, "round {round}: {a} and {b}, {acknowledged} were acknowledged");
        acknowledged = a;
    }
    ensure!(acknowledged > 0, "nothing was written");
    println!("{rounds} kills, {acknowledged} transactions");
    Ok(())
}

#[test]
fn readers_see_whole_transactions_and_watchers_lose_none() -> Result<()> {
    const WRITERS: usize = 4;
    const EACH: usize = 60;
    let server = Options::new().set("appendfsync", "no").set("io-threads", "4").start()?;
    let ended = AtomicBool::new(false);
    let mut client = Client::connect(server.port())?;
    client.ask(&["DOC.SET", "a", "x", r#"{"n":0}"#])?;
    client.ask(&["DOC.SET", "b", "x", r#"{"n":0}"#])?;
    let n = |reply: &Value| -> Result<u64> {
        serde_json::from_str::<serde_json::Value>(reply.expect_text())?["n"].as_u64().context("no n")
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<usize> {
            let mut client = Client::connect(server.port())?;
            let mut seen = 0;
            while !ended.load(Relaxed) {
                let both = [vec!["MULTI"], vec!["DOC.GET", "a", "x"], vec!["DOC.GET", "b", "x"], vec!["EXEC"]];
                let replies = client.pipeline(&both)?;
                let [a, b] = replies[3].expect_array() else { anyhow::bail!("not two: {}", replies[3]) };
                ensure!(n(a)? == n(b)?, "half of a transaction: {a} and {b}");
                seen += 1;
            }
            Ok(seen)
        });
        let write = || -> Result<usize> {
            let mut client = Client::connect(server.port())?;
            let mut retries = 0;
            for _ in 0..EACH {
                loop {
                    client.ask(&["WATCH", "a"])?;
                    let next = format!(r#"{{"n":{}}}"#, n(&client.ask(&["DOC.GET", "a", "x"])?)? + 1);
                    let both = [
                        vec!["MULTI"],
                        vec!["DOC.SET", "a", "x", &next],
                        vec!["DOC.SET", "b", "x", &next],
                        vec!["EXEC"],
                    ];
                    if let Value::Array(_) = &client.pipeline(&both)?[3] {
                        break;
                    }
                    retries += 1;
                }
            }
            Ok(retries)
        };
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
        let retries = writers.into_iter().map(|one| one.join().expect("a writer panicked")).sum::<Result<usize>>();
        ended.store(true, Relaxed);
        let seen = reader.join().expect("the reader panicked")?;
        println!("{seen} reads, {} retries", retries?);
        Ok::<(), anyhow::Error>(())
    })?;
    let last = n(&client.ask(&["DOC.GET", "a", "x"])?)?;
    ensure!(last == (WRITERS * EACH) as u64, "{last} is not {}: updates were lost", WRITERS * EACH);
    Ok(())
}

/// All replies are held until the end, so together they may not be more than a query may hold; else nothing takes place.
#[test]
fn replies_have_a_bound() -> Result<()> {
    let server = Options::new().set("query-memory-limit", "2mb").start()?;
    let mut client = Client::connect(server.port())?;
    let large = format!(r#"{{"t":"{}"}}"#, "x".repeat(600 << 10));
    client.ask(&["DOC.SET", "c", "large", &large])?;
    for first in [vec!["DOC.SET", "c", "small", "{}"], vec!["DOC.EXISTS", "c", "small"]] {
        let mut requests = vec![vec!["MULTI"], first];
        requests.extend((0..5).map(|_| vec!["DOC.GET", "c", "large"]));
        requests.push(vec!["EXEC"]);
        let replies = client.pipeline(&requests)?;
        let last = replies.last().context("no replies")?;
        ensure!(last.is_error("EXECABORT") && last.to_string().contains("TOOBIG"), "{last}");
        ensure!(client.ask(&["DOC.EXISTS", "c", "small"])? == Value::Integer(0), "a part of it took place");
    }
    Ok(())
}
