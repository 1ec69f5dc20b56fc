//! `$lookup` and `$graphLookup` give one answer whichever way they take and however little memory they have, and it is that
//! of a filter; `$out` is whole or not there after `kill -9`.
//!
//! `VEDDB_OUT_ROUNDS` (6; by hand 100) kills; `VEDDB_SEED` repeats the choices, though not the moments.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Random, Server, Value, request, seed, setting};

const LOCAL: usize = 60;
const FOREIGN: usize = 500;

/// What documents have at the paths of the joins.
fn values() -> Vec<Json> {
    vec![
        json!(null),
        json!(1),
        json!(1.0),
        json!(2.5),
        json!("a"),
        json!(""),
        json!([]),
        json!([1]),
        json!([1, "a"]),
        json!([[1]]),
        json!([null]),
        json!([[]]),
        json!({"x": 1}),
        json!({"x": [1]}),
        json!(true),
        json!({"$numberDecimal": "2.50"}),
        json!({"$date": "2020-01-01T00:00:00Z"}),
        json!({"$regularExpression": {"pattern": "a", "options": ""}}),
    ]
}

fn document(random: &mut Random, id: usize, fill: usize) -> String {
    let values = values();
    let mut document = json!({"_id": id, "fill": "x".repeat(random.below(fill))});
    match random.below(4) {
        0 => document["f"] = json!(random.below(FOREIGN)),
        1 | 2 => document["f"] = random.pick(&values).clone(),
        _ => {}
    }
    document["o"] = match random.below(3) {
        0 => json!({"p": random.pick(&values)}),
        1 => (0..random.below(3)).map(|_| json!({"p": random.pick(&values)})).collect(),
        _ => json!(5),
    };
    document.to_string()
}

fn insert(client: &mut Client, collection: &str, documents: &[String]) -> Result<()> {
    for part in documents.chunks(500) {
        let mut request = vec!["DOC.INSERT", collection];
        request.extend(part.iter().map(String::as_str));
        client.ask(&request)?;
    }
    Ok(())
}

fn texts(reply: &Value) -> Vec<Json> {
    reply.expect_array().iter().map(|one| serde_json::from_str(one.expect_text()).unwrap()).collect()
}

fn aggregate(client: &mut Client, pipeline: &Json) -> Result<Vec<Json>> {
    // By a cursor: with little memory a reply may be more than a query may hold.
    let mut reply = client.ask(&["DOC.AGGREGATE", "local", &pipeline.to_string(), "CURSOR", "1000"])?;
    let mut rows = Vec::new();
    loop {
        let [Value::Integer(cursor), batch] = reply.expect_array() else { anyhow::bail!("not a cursor: {reply}") };
        rows.extend(texts(batch));
        if *cursor == 0 {
            return Ok(rows);
        }
        reply = client.ask(&["DOC.CURSOR", "READ", &cursor.to_string(), "COUNT", "1000"])?;
    }
}

const PATHS: [(&str, &str); 7] =
    [("f", "f"), ("o.p", "f"), ("f", "o.p"), ("o.p", "o.p"), ("f", "_id"), ("_id", "f"), ("o.0.p", "o.0.p")];

/// The answers of every join.
fn answers(client: &mut Client) -> Result<Vec<Vec<Json>>> {
    let mut all = Vec::new();
    for (local, foreign) in PATHS {
        let join = json!({"from": "foreign", "localField": local, "foreignField": foreign, "as": "j"});
        let shown = json!({"$project": {"j._id": 1}});
        all.push(aggregate(client, &json!([{"$lookup": join}, shown]))?);
        let unwind = json!({"path": "$j", "preserveNullAndEmptyArrays": true});
        all.push(aggregate(client, &json!([{"$lookup": join}, {"$unwind": unwind}, shown]))?);
        let mut piped = join.clone();
        piped["let"] = json!({"id": "$_id"});
        piped["pipeline"] = json!([{"$match": {"$expr": {"$gt": ["$_id", "$$id"]}}}, {"$limit": 7}]);
        all.push(aggregate(client, &json!([{"$lookup": piped}, shown]))?);
        let graph = json!({
            "from": "foreign", "startWith": "$f", "connectFromField": local, "connectToField": foreign, "as": "j",
            "maxDepth": 1, "depthField": "depth",
        });
        let shown = json!({"$project": {"j._id": 1, "j.depth": 1}});
        all.push(aggregate(client, &json!([{"$limit": 10}, {"$graphLookup": graph}, shown]))?);
    }
    let correlated = json!({
        "from": "foreign", "let": {"v": "$f"}, "pipeline": [{"$match": {"$expr": {"$eq": ["$f", "$$v"]}}}], "as": "j",
    });
    all.push(aggregate(client, &json!([{"$limit": 20}, {"$lookup": correlated}, {"$project": {"j._id": 1}}]))?);
    Ok(all)
}

#[test]
fn one_answer_under_every_way() -> Result<()> {
    let seed = seed();
    println!("VEDDB_SEED={seed}");
    let mut random = Random::new(seed);
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let local: Vec<String> = (0..LOCAL).map(|id| document(&mut random, id, 300)).collect();
    let foreign: Vec<String> = (0..FOREIGN).map(|id| document(&mut random, id, 12_000)).collect();
    insert(&mut client, "local", &local)?;
    insert(&mut client, "foreign", &foreign)?;
    let expected = answers(&mut client)?;
    // A filter says the same of the first of them.
    for (row, joined) in local.iter().zip(&expected[0]) {
        let row: Json = serde_json::from_str(row)?;
        let sought = match &row["f"] {
            Json::Array(list) if list.is_empty() => vec![Json::Null],
            Json::Array(list) => list.clone(),
            value => vec![value.clone()],
        };
        let any: Vec<Json> = sought.iter().map(|value| json!({"f": {"$eq": value}})).collect();
        let filter = json!({"$or": any}).to_string();
        let found = texts(&client.ask(&["DOC.FIND", "foreign", &filter, "PROJECT", r#"{"_id":1}"#])?);
        ensure!(joined["j"] == json!(found), "{row} has {joined}, a filter finds {found:?}");
    }
    let check = |client: &mut Client, what: &str| -> Result<()> {
        for (at, (was, is)) in expected.iter().zip(answers(client)?).enumerate() {
            ensure!(*was == is, "{what}: join {at} gives another answer");
        }
        Ok(())
    };
    // Less than the documents take.
    client.ask(&["CONFIG", "SET", "query-memory-limit", "1mb"])?;
    check(&mut client, "little memory")?;
    client.ask(&["CONFIG", "SET", "query-memory-limit", "100mb"])?;
    for sparse in [false, true] {
        let indexes = [r#"{"f":1}"#, r#"{"o.p":-1}"#, r#"{"o.0.p":1,"fill":1}"#];
        for (at, keys) in indexes.iter().enumerate() {
            let name = format!("i{at}");
            let mut request = vec!["IDX.CREATE", "foreign", &name, keys, "SYNC"];
            request.extend(sparse.then_some("SPARSE"));
            client.ask(&request)?;
        }
        check(&mut client, "indexes")?;
        for at in 0..indexes.len() {
            client.ask(&["IDX.DROP", "foreign", &format!("i{at}")])?;
        }
    }
    Ok(())
}

/// The one value that all documents of the target have, and how many they are.
fn target(server: &Server) -> Result<(i64, i64)> {
    let mut client = server.client()?;
    let names = client.ask(&["DOC.COLLECTIONS"])?;
    let names: Vec<&str> = names.expect_array().iter().map(Value::expect_text).collect();
    ensure!(names == ["source", "target"], "{names:?}");
    let rounds = client.ask(&["DOC.DISTINCT", "target", "round"])?;
    let rounds: Vec<i64> = serde_json::from_str(rounds.expect_text())?;
    ensure!(rounds.len() == 1, "{rounds:?}");
    let indexes = client.ask(&["IDX.LIST", "target"])?;
    ensure!(indexes.expect_array().len() == 1, "an index is gone");
    Ok((rounds[0], client.ask(&["DOC.COUNT", "target"])?.expect_integer()))
}

#[test]
fn out_is_whole_or_not_there() -> Result<()> {
    const COUNT: usize = 5000;
    let seed = seed();
    println!("VEDDB_SEED={seed}");
    let mut random = Random::new(seed);
    let mut server = Options::new().start()?;
    let mut client = server.client()?;
    let source: Vec<String> = (0..COUNT).map(|id| json!({"_id": id, "n": id}).to_string()).collect();
    insert(&mut client, "source", &source)?;
    insert(&mut client, "target", &[json!({"_id": "old", "n": -1, "round": 0}).to_string()])?;
    client.ask(&["IDX.CREATE", "target", "by_n", r#"{"n":1}"#, "UNIQUE", "SYNC"])?;
    let (mut last, mut longest_ms) = (0, 1000);
    for round in 1..=i64::try_from(setting("VEDDB_OUT_ROUNDS", 6))? {
        let pipeline = json!([{"$set": {"round": round}}, {"$out": "target"}]).to_string();
        let mut client = server.client()?;
        client.send(&request(&["DOC.AGGREGATE", "source", &pipeline]))?;
        std::thread::sleep(Duration::from_millis(random.below(longest_ms) as u64));
        server.kill()?;
        server.restart()?;
        let (found, count) = target(&server)?;
        ensure!(found == last || found == round, "round {round}: {found} after {last}");
        ensure!(count == if found == 0 { 1 } else { COUNT as i64 }, "round {round}: {count} documents");
        // About half of the kills come before the end.
        longest_ms = if found == round { longest_ms / 2 + 10 } else { longest_ms * 2 };
        last = found;
    }
    Ok(())
}
