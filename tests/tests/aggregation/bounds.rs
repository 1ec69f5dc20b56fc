//! Pipelines that ask for too much get a clear error, and the server goes on.

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::Value;

use crate::data::{alone, client, nothing_is_held, options};

/// Lookups in lookups, so many.
fn nested(levels: usize) -> Json {
    (0..levels).fold(json!([]), |inner, _| json!([{"$lookup": {"from": "few", "pipeline": inner, "as": "j"}}]))
}

#[test]
fn too_much_is_refused() -> Result<()> {
    let server = options().set("query-memory-limit", "16mb").start()?;
    let mut client = client(&server)?;
    for id in 0..20 {
        client.ask(&["DOC.SET", "c", &id.to_string(), &json!({"t": "x".repeat(1 << 20), "n": id}).to_string()])?;
    }
    client.ask(&["DOC.SET", "few", "1", r#"{"a":1}"#])?;
    let range = |to: u64| json!({"$range": [0, to]});
    let facet = json!({"$facet": {"a": [{"$facet": {"b": []}}]}});
    let explosion = json!([
        {"$set": {"a": range(1000)}}, {"$unwind": "$a"}, {"$set": {"b": range(1000)}}, {"$unwind": "$b"},
    ]);
    let doubling: Vec<Json> =
        (0..40).map(|_| json!({"$set": {"t": {"$concat": ["$t", "$t"]}, "u": "$t", "v": "$t", "w": "$t"}})).collect();
    let arrays: Vec<Json> = (0..40).map(|_| json!({"$set": {"a": ["$a", "$a"]}})).collect();
    let pushed = json!({"$push": "$t", "window": {"documents": ["unbounded", "current"]}});
    let graph = json!({"from": "c", "startWith": "$n", "connectFromField": "n", "connectToField": "n", "as": "j"});
    let join = json!({"from": "c", "localField": "none", "foreignField": "none", "as": "j"});
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!({"$abs": deep});
    }
    let cases = [
        ("1,001 stages", "few", json!(vec![json!({"$match": {}}); 1001]), "BADPIPELINE"),
        ("facet in facet", "few", alone(facet), "BADPIPELINE"),
        ("lookups in lookups", "few", nested(30), "BADPIPELINE"),
        ("a deep expression", "few", alone(json!({"$set": {"a": deep}})), "BADPIPELINE"),
        ("a huge range", "few", alone(json!({"$set": {"a": range(2_000_000_000)}})), "BADPIPELINE"),
        (
            "ranges in ranges",
            "few",
            alone(json!({"$set": {"a": {"$map": {"input": range(1_000_000), "in": range(1_000_000)}}}})),
            "BADPIPELINE",
        ),
        ("an explosion", "few", explosion, "TOOBIG"),
        ("$push beyond a document", "c", alone(json!({"$group": {"_id": null, "t": {"$push": "$t"}}})), "TOOBIG"),
        ("$push of documents", "c", alone(json!({"$group": {"_id": null, "t": {"$push": "$$ROOT"}}})), "TOOBIG"),
        (
            "$push over a window",
            "c",
            alone(json!({"$setWindowFields": {"sortBy": {"n": 1}, "output": {"p": pushed}}})),
            "TOOBIG",
        ),
        (
            "a bucket beyond a document",
            "c",
            alone(json!({"$bucketAuto": {"groupBy": "$n", "buckets": 1, "output": {"t": {"$push": "$t"}}}})),
            "TOOBIG",
        ),
        ("a facet beyond a document", "c", alone(json!({"$facet": {"a": []}})), "TOOBIG"),
        ("a join beyond a document", "c", alone(json!({"$lookup": join})), "TOOBIG"),
        ("text that doubles", "c", json!(doubling), "BADPIPELINE"),
        ("arrays that double", "few", json!(arrays), ""),
        ("a reply beyond memory", "c", json!([{"$limit": 17}]), "TOOBIG"),
        (
            "a search that finds itself",
            "c",
            json!([{"$limit": 1}, {"$graphLookup": graph}, {"$project": {"t": 0}}]),
            "+",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, collection, pipeline, code) in cases {
        let reply = client.run(&["DOC.AGGREGATE", collection, &pipeline.to_string()])?;
        let fits = match code {
            "+" => !matches!(reply, Value::Error(_)),
            "" => reply.is_error("TOOBIG") || reply.is_error("BADPIPELINE"),
            code => reply.is_error(code),
        };
        let shown: String = reply.to_string().chars().take(200).collect();
        println!("{name}: {shown}");
        if !fits {
            wrong.push(format!("{name} is not {code}: {shown}"));
        }
        ensure!(client.ask(&["PING"])?.text() == Some("PONG"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is at the bounds goes.
    client.ask(&["DOC.AGGREGATE", "few", &json!(vec![json!({"$match": {}}); 1000]).to_string()])?;
    client.ask(&["DOC.AGGREGATE", "few", &nested(10).to_string()])?;
    nothing_is_held(&mut client)?;
    Ok(())
}
