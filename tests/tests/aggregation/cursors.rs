//! Cursors: one moment of the data, and how they end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use veddb_tests::{Client, Options, Server, Value, request};

use crate::data::{client, options, parsed, refused};

const COUNT: i64 = 3000;

/// Documents whose values of `n` are all 0; one write sets them all.
fn stored(options: Options) -> Result<(Server, Client)> {
    let server = options.start()?;
    let mut client = client(&server)?;
    let ids: Vec<i64> = (0..COUNT).collect();
    for part in ids.chunks(500) {
        let mut request = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
        request.extend(part.iter().map(|id| format!(r#"{{"_id":{id},"n":0,"fill":"{}"}}"#, "x".repeat(300))));
        client.ask(&request)?;
    }
    Ok((server, client))
}

fn open(client: &mut Client, count: u64) -> Result<String> {
    let count = count.to_string();
    let reply = client.ask(&["DOC.AGGREGATE", "c", "[]", "CURSOR", &count])?;
    let id = reply.expect_array()[0].expect_integer();
    ensure!(id != 0, "the cursor is at its end already");
    Ok(id.to_string())
}

fn read(client: &mut Client, cursor: &str, count: u64) -> Result<Value> {
    client.run(&["DOC.CURSOR", "READ", cursor, "COUNT", &count.to_string()])
}

fn open_cursors(client: &mut Client) -> Result<i64> {
    Ok(client.figure("stats", "open_cursors")?.parse()?)
}

/// Waits until no cursor is open.
fn wait_until_none(client: &mut Client, most: Duration) -> Result<()> {
    let begun = Instant::now();
    while open_cursors(client)? > 0 {
        ensure!(begun.elapsed() < most, "cursors are still open");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn a_cursor_sees_one_moment() -> Result<()> {
    // Little memory for writes, so that checkpoints run all the time.
    let (server, mut reader) = stored(options().set("maxmemory-writes", "1mb").set("query-memory-limit", "1mb"))?;
    let before: i64 = reader.figure("persistence", "checkpoints")?.parse()?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let writing = scope.spawn(|| -> Result<()> {
            let mut writer = client(&server)?;
            let mut round = 0;
            while !done.load(Ordering::Acquire) {
                round += 1;
                // Each of these is one unit: all documents have one value at every moment.
                let values: Vec<String> =
                    vec!["DOC.UPDATE".into(), "c".into(), "{}".into(), json!({"$set": {"n": round}}).to_string()];
                writer.ask(&values)?;
                writer.ask(&["DOC.INSERT", "c", &json!({"new": round, "fill": "y".repeat(2000)}).to_string()])?;
                writer.ask(&["DOC.DELETE", "c", &json!({"new": round - 1}).to_string()])?;
            }
            Ok(())
        });
        let pipelines = [
            json!([{"$project": {"n": 1}}]),
            json!([{"$sort": {"fill": 1, "_id": -1}}]),
            json!([{"$lookup": {"from": "c", "localField": "_id", "foreignField": "_id", "as": "same"}}]),
        ];
        let outcome = (|| -> Result<()> {
            for round in 0..6 {
                let pipeline = pipelines[round % pipelines.len()].to_string();
                let mut all = Vec::new();
                let mut reply = reader.ask(&["DOC.AGGREGATE", "c", &pipeline, "CURSOR", "5"])?;
                loop {
                    let [id, batch] = reply.expect_array() else { anyhow::bail!("not a cursor: {reply}") };
                    all.extend(batch.expect_array().iter().map(parsed));
                    match id.expect_integer() {
                        0 => break,
                        id => {
                            thread::sleep(Duration::from_millis(10));
                            reply = read(&mut reader, &id.to_string(), 200)?;
                        }
                    }
                }
                let old = all.iter().filter(|one| one["new"].is_null() && one["_id"].is_i64()).count();
                ensure!(old as i64 == COUNT, "{old} documents");
                // Those that were there are all there once, with what joins them to themselves at the same moment.
                for one in &all {
                    let same = one["same"].as_array();
                    ensure!(same.is_none_or(|same| same.len() == 1 && same[0]["n"] == one["n"]), "{one}");
                }
                let inserted = all.len() - old;
                ensure!(inserted <= 2, "{inserted} of the documents that come and go");
            }
            Ok(())
        })();
        done.store(true, Ordering::Release);
        writing.join().unwrap_or_else(|_| anyhow::bail!("the writer panicked"))?;
        outcome
    })?;
    let after: i64 = reader.figure("persistence", "checkpoints")?.parse()?;
    ensure!(after > before, "no checkpoint ran meanwhile");
    Ok(())
}

#[test]
fn a_cursor_ends_when_nobody_reads_and_when_it_is_old() -> Result<()> {
    let (server, mut client) = stored(options().set("cursor-timeout", "1"))?;
    let cursor = open(&mut client, 1)?;
    ensure!(open_cursors(&mut client)? == 1);
    wait_until_none(&mut client, Duration::from_secs(4))?;
    refused(&read(&mut client, &cursor, 1)?, "NOCURSOR")?;
    drop((client, server));

    let (_server, mut client) = stored(options().set("cursor-timeout", "600").set("cursor-max-age", "2"))?;
    let cursor = open(&mut client, 1)?;
    let begun = Instant::now();
    // Read all the while, and closed all the same.
    let reply = loop {
        let reply = read(&mut client, &cursor, 1)?;
        if matches!(reply, Value::Error(_)) {
            break reply;
        }
        ensure!(begun.elapsed() < Duration::from_secs(5), "the cursor lives on");
        thread::sleep(Duration::from_millis(20));
    };
    refused(&reply, "NOCURSOR")?;
    ensure!(begun.elapsed() > Duration::from_millis(1500), "it was closed early");
    ensure!(open_cursors(&mut client)? == 0);
    Ok(())
}

#[test]
fn an_old_moment_is_given_back() -> Result<()> {
    let (server, mut client) = stored(options().set("maxmemory-writes", "1mb").set("cursor-max-age", "1"))?;
    let _cursor = open(&mut client, 1)?;
    for round in 0..20 {
        client.ask(&["DOC.UPDATE", "c", "{}", &json!({"$set": {"n": round}}).to_string()])?;
    }
    wait_until_none(&mut client, Duration::from_secs(4))?;
    // What it held back goes with the next checkpoints: the same again does not take more each time.
    let disk = |client: &mut Client| -> Result<i64> {
        for round in 0..20 {
            client.ask(&["DOC.UPDATE", "c", "{}", &json!({"$set": {"n": round}}).to_string()])?;
        }
        Ok(client.figure("persistence", "engine_disk_bytes")?.parse()?)
    };
    let first = disk(&mut client)?;
    let mut last = first;
    for _ in 0..3 {
        last = disk(&mut client)?;
    }
    ensure!(last < first + (64 << 20), "the store grows: {first}, {last}");
    drop(server);
    Ok(())
}

#[test]
fn bounds_of_cursors() -> Result<()> {
    let (server, mut one) = stored(options().set("max-cursors", "5").set("max-cursors-per-client", "3"))?;
    let mut two = client(&server)?;
    let cursors = [open(&mut one, 1)?, open(&mut one, 1)?, open(&mut one, 1)?];
    let reply = one.run(&["DOC.FIND", "c", "{}", "CURSOR", "1"])?;
    ensure!(reply.to_string().contains("max-cursors-per-client (3)"), "{reply}");
    open(&mut two, 1)?;
    open(&mut two, 1)?;
    let reply = two.run(&["DOC.AGGREGATE", "c", "[]", "CURSOR", "1"])?;
    ensure!(reply.to_string().contains("max-cursors (5)"), "{reply}");
    // Without a cursor there is no bound.
    two.ask(&["DOC.AGGREGATE", "c", r#"[{"$limit":1}]"#])?;
    ensure!(two.ask(&["DOC.CURSOR", "DEL", &cursors[0]])?.expect_integer() == 1);
    ensure!(two.ask(&["DOC.CURSOR", "DEL", &cursors[0]])?.expect_integer() == 0);
    open(&mut one, 1)?;
    // Many at once do not pass it either.
    let opened: i64 = thread::scope(|scope| -> Result<i64> {
        let attempt = || -> Result<i64> {
            let mut client = client(&server)?;
            let reply = client.run(&["DOC.AGGREGATE", "c", r#"[{"$sort":{"fill":1}}]"#, "CURSOR", "1"])?;
            Ok(i64::from(!matches!(reply, Value::Error(_))))
        };
        ensure!(two.ask(&["DOC.CURSOR", "DEL", &cursors[1]])?.expect_integer() == 1);
        let all: Vec<_> = (0..6).map(|_| scope.spawn(attempt)).collect();
        let outcomes = all.into_iter().map(|one| one.join().unwrap_or_else(|_| anyhow::bail!("a client panicked")));
        outcomes.sum()
    })?;
    ensure!(opened == 1 && open_cursors(&mut one)? == 5, "{opened} were opened where one fits");
    Ok(())
}

#[test]
fn a_cursor_is_read_by_one_at_a_time() -> Result<()> {
    let (server, mut one) = stored(options())?;
    let mut two = client(&server)?;
    let mut three = client(&server)?;
    // Another connection reads it as well.
    let cursor = open(&mut one, 1)?;
    ensure!(read(&mut two, &cursor, 2)?.expect_array()[1].expect_array().len() == 2);
    drop(one);
    ensure!(read(&mut two, &cursor, 2)?.expect_array()[1].expect_array().len() == 2, "it went with its client");

    // A read that takes long: each document has to be found among many.
    let slow = json!([
        {"$match": {"_id": {"$lt": 5}}},
        {"$set": {"a": {"$range": [0, 1000]}}}, {"$unwind": "$a"}, {"$set": {"b": {"$range": [0, 300]}}}, {"$unwind": "$b"},
        {"$match": {"$or": [{"_id": 0, "a": 0, "b": 0}, {"_id": 4, "a": 999, "b": 299}]}},
        {"$project": {"_id": 1}},
    ]);
    let slow = slow.to_string();
    let open_slow = |client: &mut Client| -> Result<String> {
        let reply = client.ask(&["DOC.AGGREGATE", "c", &slow, "CURSOR", "0"])?;
        Ok(reply.expect_array()[0].expect_integer().to_string())
    };
    let cursor = open_slow(&mut two)?;
    two.send(&request(&["DOC.CURSOR", "READ", &cursor]))?;
    thread::sleep(Duration::from_millis(100));
    refused(&read(&mut three, &cursor, 1)?, "BUSY")?;
    let reply = two.read()?;
    ensure!(reply.expect_array()[1].expect_array().len() == 2, "{reply}");

    // Closed while it is read: the read is answered, and there is no more.
    let cursor = open_slow(&mut two)?;
    two.send(&request(&["DOC.CURSOR", "READ", &cursor, "COUNT", "1"]))?;
    thread::sleep(Duration::from_millis(100));
    ensure!(three.ask(&["DOC.CURSOR", "DEL", &cursor])?.expect_integer() == 1);
    let reply = two.read()?;
    ensure!(reply.expect_array()[0].expect_integer() == 0, "{reply}");
    refused(&read(&mut three, &cursor, 1)?, "NOCURSOR")?;

    // Many at once: each document comes to one of them.
    let reply = two.ask(&["DOC.AGGREGATE", "c", r#"[{"$project":{"_id":1}}]"#, "CURSOR", "0"])?;
    let cursor = reply.expect_array()[0].expect_integer().to_string();
    let mut ids: Vec<i64> = thread::scope(|scope| -> Result<Vec<i64>> {
        let take = || -> Result<Vec<i64>> {
            let mut client = client(&server)?;
            let mut ids = Vec::new();
            loop {
                match read(&mut client, &cursor, 7)? {
                    Value::Error(message) if message.starts_with("BUSY") => {}
                    Value::Error(message) if message.starts_with("NOCURSOR") => return Ok(ids),
                    Value::Error(message) => anyhow::bail!("{message}"),
                    reply => ids.extend(
                        reply.expect_array()[1]
                            .expect_array()
                            .iter()
                            .map(|one| parsed(one)["_id"].as_i64().expect("ids are numbers")),
                    ),
                }
            }
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        let mut ids = Vec::new();
        for one in all {
            ids.extend(one.join().unwrap_or_else(|_| anyhow::bail!("a client panicked"))?);
        }
        Ok(ids)
    })?;
    ids.sort_unstable();
    ensure!(ids == (0..COUNT).collect::<Vec<i64>>(), "{} ids came", ids.len());
    Ok(())
}

#[test]
fn a_cursor_outlives_its_collection_and_not_its_server() -> Result<()> {
    let (mut server, mut client) = stored(options().set("maxmemory-writes", "1mb"))?;
    let cursor = open(&mut client, 10)?;
    client.ask(&["DOC.DROP", "c"])?;
    ensure!(client.ask(&["DOC.COUNT", "c"])?.expect_integer() == 0);
    // Checkpoints take the collection's documents away from everybody else.
    for at in 0..2000 {
        client.ask(&["DOC.SET", "d", &at.to_string(), &json!({"fill": "z".repeat(1000)}).to_string()])?;
    }
    let rest = read(&mut client, &cursor, 10_000)?;
    let rest = rest.expect_array();
    ensure!(rest[0].expect_integer() == 0 && rest[1].expect_array().len() as i64 == COUNT - 10);

    for _ in 0..5 {
        client.ask(&["DOC.AGGREGATE", "d", r#"[{"$sort":{"fill":1,"_id":-1}}]"#, "CURSOR", "1"])?;
    }
    ensure!(open_cursors(&mut client)? == 5);
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    ensure!(open_cursors(&mut client)? == 0 && client.ask(&["DOC.COUNT", "d"])?.expect_integer() == 2000);
    server.stop()
}
