//! Queries over ten times the memory that they may hold give the right answer, and the server does not grow by more.

use std::collections::HashMap;
use std::thread;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Server, setting};

use crate::data::{Documents, alone, client, each, growth, limit, nothing_is_held, options, spilled};

/// What the server may take beside what queries hold: what is on its way, such as a batch of a cursor, which is packed, text
/// and a reply at once, and what the allocator keeps.
fn slack() -> usize {
    setting("VEDDB_QUERY_SLACK_MB", 100) as usize * (1 << 20)
}

fn stored(documents: &Documents, limit: usize) -> Result<(Server, Client)> {
    let server = options()
        .set("query-memory-limit", limit.to_string())
        .set("query-memory-total", (2 * limit).to_string())
        .set("io-threads", "4")
        .start()?;
    let mut client = client(&server)?;
    documents.insert(&mut client, "c")?;
    // What is read for the first time is what the store's own caches take.
    client.ask(&["DOC.COUNT", "c", r#"{"t":0}"#])?;
    Ok((server, client))
}

/// Runs a pipeline twice, once for its answer and once for what it writes to files, within its memory.
fn within(
    server: &Server,
    client: &mut Client,
    name: &str,
    pipeline: &Json,
    spills: bool,
    check: impl FnMut(Json) -> Result<()>,
) -> Result<usize> {
    let (mut count, mut written, limit) = (0, 0, limit());
    let grown = growth(server, name, || {
        count = each(client, "c", pipeline, check)?;
        written = spilled(client, "c", pipeline)?;
        Ok(())
    })?;
    println!("{name}: {} MB spilled", written >> 20);
    ensure!(!spills || written > 0, "{name} wrote nothing to files");
    let most = limit + slack();
    ensure!(grown < most, "{name}: grew by {} MB, not at most {} MB", grown >> 20, most >> 20);
    Ok(count)
}

#[test]
fn groups() -> Result<()> {
    let documents = Documents::of(10 * limit(), 200);
    let (server, mut client) = stored(&documents, limit())?;
    let mut model: HashMap<usize, Vec<usize>> = HashMap::new();
    (0..documents.count).for_each(|id| model.entry(documents.key(id)).or_default().push(id));
    let group = json!({
        "_id": "$k", "n": {"$sum": 1}, "v": {"$sum": "$v"}, "t": {"$push": "$t"}, "p": {"$addToSet": "$p"},
    });
    let count = within(&server, &mut client, "$group", &alone(json!({"$group": group})), true, |row| {
        let key = row["_id"].as_u64().unwrap() as usize;
        let ids = model.get(&key).expect("the key is one of the documents'");
        let texts: Vec<String> = ids.iter().map(|id| documents.text(*id)).collect();
        let sum: usize = ids.iter().map(|id| id % 1000).sum();
        let mut parts: Vec<u64> = row["p"].as_array().unwrap().iter().filter_map(Json::as_u64).collect();
        parts.sort_unstable();
        let mut expected: Vec<u64> = ids.iter().map(|id| (id % 10) as u64).collect();
        expected.sort_unstable();
        expected.dedup();
        ensure!(row["n"] == json!(ids.len()) && row["v"] == json!(sum), "{key} has {row}, not {ids:?}");
        ensure!(row["t"] == json!(texts) && parts == expected, "{key} has {row}");
        Ok(())
    })?;
    ensure!(count == model.len(), "{count} groups of {}", model.len());
    Ok(())
}

#[test]
fn many_small_groups() -> Result<()> {
    // As many groups as documents, and nothing in them but a count: the table of groups is what takes memory.
    let documents = Documents::of(5 * limit(), 50);
    let (server, mut client) = stored(&documents, limit())?;
    let pipeline = alone(json!({"$group": {"_id": "$t", "n": {"$sum": 1}}}));
    let count = within(&server, &mut client, "small groups", &pipeline, true, |row| {
        ensure!(row["n"] == json!(1), "{row}");
        Ok(())
    })?;
    ensure!(count == documents.count, "{count} groups");
    Ok(())
}

#[test]
fn orders() -> Result<()> {
    let documents = Documents::of(10 * limit(), 400);
    let (server, mut client) = stored(&documents, limit())?;
    let mut order: Vec<(String, usize)> = (0..documents.count).map(|id| (documents.text(id), id)).collect();
    order.sort_unstable();
    let mut expected = order.iter();
    let count = within(&server, &mut client, "$sort", &alone(json!({"$sort": {"t": 1}})), true, |row| {
        let (text, id) = expected.next().expect("there are no more documents");
        ensure!(row["_id"] == json!(id) && row["t"] == json!(text), "{row} is not {id}");
        Ok(())
    })?;
    ensure!(count == documents.count, "{count} documents");

    let buckets = json!({"groupBy": "$t", "buckets": 10, "output": {"n": {"$sum": 1}, "v": {"$sum": "$v"}}});
    let size = (documents.count as f64 / 10.0).round() as usize;
    let mut start = 0;
    within(&server, &mut client, "$bucketAuto", &alone(json!({"$bucketAuto": buckets})), true, |row| {
        let end = if row["_id"]["max"] == json!(order[order.len() - 1].0) { order.len() } else { start + size };
        let sum: usize = order[start..end].iter().map(|(_, id)| id % 1000).sum();
        ensure!(row["_id"]["min"] == json!(order[start].0), "{row} begins elsewhere");
        ensure!(row["n"] == json!(end - start) && row["v"] == json!(sum), "{row}");
        start = end;
        Ok(())
    })?;
    ensure!(start == order.len(), "the buckets end at {start}");

    let total = json!({"$sum": "$v", "window": {"documents": ["unbounded", "current"]}});
    let around = json!({"$sum": "$v", "window": {"documents": [-1, 1]}});
    let windows = json!({"partitionBy": "$p", "sortBy": {"t": 1}, "output": {"total": total, "around": around}});
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); 10];
    order.iter().for_each(|(_, id)| parts[id % 10].push(*id));
    let mut rows = parts.iter().flat_map(|ids| {
        let mut total = 0;
        (0..ids.len()).map(move |at| {
            total += ids[at] % 1000;
            let around: usize = ids[at.saturating_sub(1)..(at + 2).min(ids.len())].iter().map(|id| id % 1000).sum();
            (ids[at], total, around)
        })
    });
    within(&server, &mut client, "$setWindowFields", &alone(json!({"$setWindowFields": windows})), true, |row| {
        let (id, total, around) = rows.next().expect("there are no more documents");
        ensure!(row["_id"] == json!(id), "{row} is not {id}");
        ensure!(row["total"] == json!(total) && row["around"] == json!(around), "{row} is not {total}, {around}");
        Ok(())
    })?;
    ensure!(rows.next().is_none(), "documents are missing");
    Ok(())
}

#[test]
fn joins() -> Result<()> {
    let documents = Documents::of(10 * limit(), 1000);
    let (server, mut client) = stored(&documents, limit())?;
    // One in forty, so that what is joined is more than memory holds as well.
    let join = json!({"from": "c", "localField": "next", "foreignField": "k", "as": "j"});
    let chosen = json!({"$match": {"$expr": {"$eq": [{"$mod": ["$_id", 40]}, 0]}}});
    let pipeline = json!([chosen, {"$lookup": join}, {"$project": {"next": 1, "j._id": 1, "j.t": 1}}]);
    let mut model: HashMap<usize, Vec<usize>> = HashMap::new();
    (0..documents.count).for_each(|id| model.entry(documents.key(id)).or_default().push(id));
    let count = within(&server, &mut client, "$lookup", &pipeline, false, |row| {
        let ids = model.get(&(row["next"].as_u64().unwrap() as usize)).expect("it is a key");
        let joined: Vec<Json> = ids.iter().map(|id| json!({"_id": id, "t": documents.text(*id)})).collect();
        ensure!(row["j"] == json!(joined), "{row} is not {ids:?}");
        Ok(())
    })?;
    ensure!(count == documents.count.div_ceil(40), "{count} rows");
    Ok(())
}

#[test]
fn large_documents() -> Result<()> {
    // Few rows fit, so there are many files, each with a large row at hand while they are merged.
    let documents = Documents::of(12 * limit(), limit() / 10);
    let (server, mut client) = stored(&documents, limit())?;
    let mut order: Vec<(String, usize)> = (0..documents.count).map(|id| (documents.text(id), id)).collect();
    order.sort_unstable();
    let mut expected = order.iter();
    let count = within(&server, &mut client, "large documents", &alone(json!({"$sort": {"t": 1}})), true, |row| {
        ensure!(row["_id"] == json!(expected.next().map(|(_, id)| *id)), "{}", row["_id"]);
        Ok(())
    })?;
    ensure!(count == documents.count, "{count} documents");
    Ok(())
}

#[test]
fn all_queries_together() -> Result<()> {
    let documents = Documents::of(10 * limit(), 400);
    let (server, _) = stored(&documents, limit())?;
    let stages = [
        json!({"$sort": {"t": 1}}),
        json!({"$group": {"_id": "$k", "t": {"$push": "$t"}}}),
        json!({"$bucketAuto": {"groupBy": "$t", "buckets": 10}}),
        json!({"$setWindowFields": {"sortBy": {"t": 1}, "output": {"r": {"$rank": {}}}}}),
    ];
    let grown = growth(&server, "four at once", || {
        thread::scope(|scope| {
            let run = |stage: &Json| -> Result<u64> { spilled(&mut client(&server)?, "c", &alone(stage.clone())) };
            let all: Vec<_> = stages.iter().map(|stage| scope.spawn(move || run(stage))).collect();
            for one in all {
                let written = one.join().unwrap_or_else(|_| anyhow::bail!("a client panicked"))?;
                ensure!(written > 0, "nothing was written to files");
            }
            Ok(())
        })
    })?;
    let total = 2 * limit();
    let most = total + slack();
    ensure!(grown < most, "grew by {} MB, not at most {} MB", grown >> 20, most >> 20);
    nothing_is_held(&mut client(&server)?)?;
    Ok(())
}
