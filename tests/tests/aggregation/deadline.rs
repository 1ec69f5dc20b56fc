//! Queries end when their time is up, and when their client is gone; others do not wait for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Server, request, setting};

use crate::data::{Documents, alone, client, nothing_is_held, options};

/// How much later than its deadline an answer may come.
const LATE: Duration = Duration::from_millis(50);

const DEADLINES_MS: [u64; 5] = [15, 40, 90, 160, 300];

/// A server with enough documents that every query takes longer than it may.
fn stored() -> Result<(Server, Client)> {
    let server = options().set("query-memory-limit", limit_text()).start()?;
    let mut client = client(&server)?;
    Documents::of(40 << 20, 200).insert(&mut client, "c")?;
    Documents::of(400 << 10, 200).insert(&mut client, "few")?;
    Ok((server, client))
}

fn limit_text() -> String {
    format!("{}mb", setting("VEDDB_QUERY_MEMORY_MB", 8))
}

/// An expression of some millions of steps.
fn long_expression() -> Json {
    let sum = json!({"$add": ["$$value", "$$this"]});
    let inner = json!({"$reduce": {"input": {"$range": [0, 1000]}, "initialValue": 0, "in": sum}});
    json!({"$size": {"$map": {"input": {"$range": [0, 1000]}, "in": inner}}})
}

fn queries() -> Vec<(&'static str, Vec<String>)> {
    let aggregate = |pipeline: Json| vec!["DOC.AGGREGATE".to_owned(), "c".to_owned(), pipeline.to_string()];
    let join = json!({"from": "c", "localField": "next", "foreignField": "k", "as": "j"});
    let graph = json!({"from": "c", "startWith": "$k", "connectFromField": "next", "connectToField": "k", "as": "j",
        "maxDepth": 50});
    let around = json!({"$push": "$t", "window": {"documents": [-100, 100]}});
    let windows = json!({"partitionBy": "$p", "sortBy": {"t": 1}, "output": {"w": around}});
    let whole = json!({"sortBy": {"t": 1}, "output": {"w": {"$max": "$v", "window": {"documents": [-500, 0]}}}});
    let densify = json!({"field": "v", "partitionByFields": ["k"], "range": {"step": 0.01, "bounds": "full"}});
    let group = json!({"_id": "$t", "n": {"$sum": 1}, "t": {"$push": "$t"}});
    // Fits into the memory there is; more than that ends it before its time.
    let set = json!({"_id": null, "all": {"$addToSet": "$k"}});
    let uncorrelated = json!({"from": "c", "pipeline": [{"$match": {"$expr": {"$gt": [{"$strLenBytes": "$t"}, 900]}}}],
        "let": {"k": "$k"}, "as": "j"});
    let unwinds = json!([
        {"$set": {"a": {"$range": [0, 1000]}}}, {"$unwind": "$a"}, {"$set": {"b": {"$range": [0, 1000]}}}, {"$unwind": "$b"},
        {"$count": "n"},
    ]);
    let find = |filter: Json, more: &[&str]| {
        let mut all = vec!["DOC.FIND".to_owned(), "c".to_owned(), filter.to_string()];
        all.extend(more.iter().map(|one| (*one).to_owned()));
        all
    };
    let long = long_expression();
    vec![
        ("scan", aggregate(json!([{"$match": {"t": {"$regex": "zzz"}}}, {"$count": "n"}]))),
        ("find", find(json!({"t": {"$regex": "zzz"}}), &[])),
        ("find sorted", find(json!({}), &["SORT", r#"{"t":1}"#])),
        ("group", aggregate(alone(json!({"$group": group})))),
        ("group of one", aggregate(alone(json!({"$group": set})))),
        ("sort", aggregate(alone(json!({"$sort": {"t": 1}})))),
        ("lookup", aggregate(alone(json!({"$lookup": join})))),
        ("lookup by pipeline", aggregate(alone(json!({"$lookup": uncorrelated})))),
        ("graphLookup", aggregate(alone(json!({"$graphLookup": graph})))),
        ("setWindowFields", aggregate(alone(json!({"$setWindowFields": windows})))),
        ("window without remove", aggregate(alone(json!({"$setWindowFields": whole})))),
        ("densify", aggregate(alone(json!({"$densify": densify})))),
        (
            "facet",
            aggregate(alone(json!({"$facet": {"a": [{"$sort": {"t": 1}}, {"$limit": 1}], "b": [{"$count": "n"}]}}))),
        ),
        ("bucketAuto", aggregate(alone(json!({"$bucketAuto": {"groupBy": "$t", "buckets": 10}})))),
        ("unwind", aggregate(unwinds)),
        ("expression", aggregate(alone(json!({"$set": {"x": long}})))),
        ("expression of a match", aggregate(alone(json!({"$match": {"$expr": {"$eq": [1, long]}}})))),
        ("expression of a filter", find(json!({"$expr": {"$eq": [1, long]}}), &[])),
        ("expression of a projection", find(json!({}), &["PROJECT", &json!({"x": long}).to_string()])),
        ("expression of a group", aggregate(alone(json!({"$group": {"_id": long}})))),
    ]
}

#[test]
fn queries_end_when_their_time_is_up() -> Result<()> {
    let strict = setting("VEDDB_MAXTIME_STRICT", 0) == 1;
    let (_server, mut client) = stored()?;
    let mut wrong = Vec::new();
    for (name, query) in queries() {
        let mut late = Vec::new();
        let mut ended = 0;
        for deadline_ms in DEADLINES_MS {
            let mut query = query.clone();
            query.extend(["MAXTIME".to_owned(), deadline_ms.to_string()]);
            let begun = Instant::now();
            let reply = client.run(&query)?;
            late.push(begun.elapsed().saturating_sub(Duration::from_millis(deadline_ms)));
            let text = reply.to_string();
            let shown: String = text.chars().take(200).collect();
            ensure!(!text.starts_with('-') || reply.is_error("TIMEOUT"), "{name}: {shown}");
            ended += usize::from(reply.is_error("TIMEOUT"));
        }
        println!("{name}: {late:?} late, {ended} of {} ended", late.len());
        ensure!(ended > 0, "{name} is too short to be ended");
        late.sort_unstable();
        let most = if strict { late.last() } else { late.get(late.len() / 2) };
        if most.is_none_or(|most| *most > LATE) {
            wrong.push(format!("{name}: {late:?} late"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Processor time that the server has used.
fn used(client: &mut Client) -> Result<Duration> {
    let mut seconds = 0.0;
    for name in ["used_cpu_user", "used_cpu_sys"] {
        seconds += client.figure("cpu", name)?.parse::<f64>()?;
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Whether the server rests for 300 ms.
fn is_idle(client: &mut Client) -> Result<bool> {
    let before = used(client)?;
    thread::sleep(Duration::from_millis(300));
    Ok(used(client)? - before <= Duration::from_millis(60))
}

fn wait_until_idle(client: &mut Client, most: Duration) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let at = begun.elapsed();
        if is_idle(client)? {
            return Ok(at);
        }
        ensure!(at < most, "the server goes on after {at:?}");
    }
}

#[test]
fn a_query_ends_with_its_client() -> Result<()> {
    let (server, mut other) = stored()?;
    for (name, query) in queries() {
        wait_until_idle(&mut other, Duration::from_secs(60))?;
        let mut leaving = client(&server)?;
        leaving.send(&request(&query))?;
        thread::sleep(Duration::from_millis(100));
        drop(leaving);
        // Busy machines are given more.
        let took = wait_until_idle(&mut other, Duration::from_secs(3))?;
        println!("{name}: idle after {took:?}");
        nothing_is_held(&mut other)?;
    }
    Ok(())
}

#[test]
fn others_do_not_wait() -> Result<()> {
    let most = Duration::from_millis(setting("VEDDB_PING_MS", 50));
    let (server, mut other) = stored()?;
    let threads: usize = other.figure("server", "io_threads")?.parse()?;
    for clients in [1, threads] {
        let done = AtomicBool::new(false);
        let mut took = thread::scope(|scope| -> Result<Vec<Duration>> {
            let long = |at: usize| -> Result<()> {
                let mut client = client(&server)?;
                for (_, query) in queries().iter().cycle().skip(at) {
                    if done.load(Ordering::Acquire) {
                        break;
                    }
                    let mut query = query.clone();
                    query.extend(["MAXTIME".to_owned(), "400".to_owned()]);
                    client.run(&query)?;
                }
                Ok(())
            };
            let all: Vec<_> = (0..clients).map(|at| scope.spawn(move || long(at * 5))).collect();
            let mut took = Vec::new();
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                let begun = Instant::now();
                other.ask(&["PING"])?;
                took.push(begun.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            done.store(true, Ordering::Release);
            for one in all {
                one.join().unwrap_or_else(|_| anyhow::bail!("a client panicked"))?;
            }
            Ok(took)
        })?;
        took.sort_unstable();
        let (middle, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!(
            "PING beside {clients} long queries: {middle:?}, 99 of 100 within {p99:?}, all within {:?}",
            took[took.len() - 1]
        );
        ensure!(p99 < most, "beside {clients} long queries PING takes {p99:?}");
    }
    Ok(())
}
