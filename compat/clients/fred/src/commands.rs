//! Connecting, strings, expiry, SCAN, transactions, documents and JSON.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Result, ensure};
use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand};
use fred::util::NONE;
use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use crate::checks::{equal, own};
use crate::{Target, refusal};

/// Does the checks of one protocol.
pub async fn checks(target: &Target) {
    target.check("connects, also from a pool", connects(target)).await;
    target.check("SET and GET", set_and_get(target)).await;
    target.check("expiry", expiry(target)).await;
    target.check("the stream of SCAN", scan(target)).await;
    target.check("a pipeline of a thousand", pipeline(target)).await;
    target.check("MULTI and EXEC", multi_and_exec(target)).await;
    target.check("WATCH: somebody came between", watch(target)).await;
    target.check("documents", documents(target)).await;
    target.check("JSON", json_commands(target)).await;
}

async fn connects(target: &Target) -> Result<()> {
    let pool = target.builder.build_pool(3)?;
    pool.init().await?;
    let key = own("pool");
    for at in 1..=30_i64 {
        equal(pool.incr::<i64, _>(&key).await?, at)?;
    }
    equal(pool.del::<i64, _>(&key).await?, 1)?;
    pool.quit().await?;
    let databases: HashMap<String, String> = target.connect().await?.config_get("databases").await?;
    equal(databases, HashMap::from([("databases".to_owned(), "16".to_owned())]))
}

async fn set_and_get(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let (key, other) = (own("string"), own("other"));
    equal(client.get::<Option<String>, _>(&key).await?, None)?;
    let _: () = client.set(&key, "é", None, None, false).await?;
    let kept: Option<String> = client.set(&key, "b", None, Some(SetOptions::NX), false).await?;
    equal(kept, None)?;
    client.mset(vec![(key.as_str(), "a"), (other.as_str(), "b")]).await?;
    let values: Vec<Option<String>> = client.mget(vec![key.clone(), own("nothing"), other.clone()]).await?;
    equal(values, vec![Some("a".to_owned()), None, Some("b".to_owned())])?;
    let every: Vec<u8> = (0..=255).collect();
    let _: () = client.set(&key, every.as_slice(), None, None, false).await?;
    equal(client.getdel::<Vec<u8>, _>(&key).await?, every)?;
    equal(client.append::<i64, _, _>(&other, "cd").await?, 3)?;
    equal(client.getdel::<String, _>(&other).await?, "bcd".to_owned())?;
    equal(client.incr_by::<i64, _>(&key, 41).await?, 41)?;
    equal(client.incr::<i64, _>(&key).await?, 42)?;
    equal(client.del::<i64, _>(&key).await?, 1)
}

async fn expiry(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let key = own("expiry");
    let _: () = client.set(&key, "a", Some(Expiration::EX(100)), None, false).await?;
    let left: i64 = client.pttl(&key).await?;
    ensure!(left > 90_000 && left <= 100_000, "PTTL is {left}");
    equal(client.persist::<i64, _>(&key).await?, 1)?;
    equal(client.ttl::<i64, _>(&key).await?, -1)?;
    let _: () = client.set(&key, "a", Some(Expiration::PX(20)), None, false).await?;
    while client.get::<Option<String>, _>(&key).await?.is_some() {
        sleep(Duration::from_millis(1)).await;
    }
    equal(client.ttl::<i64, _>(&key).await?, -2)
}

async fn scan(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let names: BTreeSet<String> = (0..300).map(|at| own(&format!("scan:{at}"))).collect();
    let pairs: Vec<(String, i64)> = names.iter().map(|name| (name.clone(), 1)).collect();
    client.mset(pairs).await?;
    let found: Vec<Key> = client.scan_buffered(own("scan:*"), Some(50), None).try_collect().await?;
    let seen: BTreeSet<String> = found.into_iter().filter_map(Key::into_string).collect();
    ensure!(seen == names, "SCAN brought {} names of {}", seen.len(), names.len());
    equal(client.del::<i64, _>(names.into_iter().collect::<Vec<String>>()).await?, 300)
}

async fn pipeline(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let key = own("pipeline");
    let pipeline = client.pipeline();
    for _ in 0..1000 {
        let _: () = pipeline.incr(&key).await?;
    }
    equal(pipeline.all::<Vec<i64>>().await?, (1..=1000).collect())?;
    equal(client.del::<i64, _>(&key).await?, 1)
}

async fn multi_and_exec(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let key = own("multi");
    let transaction = client.multi();
    let _: () = transaction.set(&key, 1_i64, None, None, false).await?;
    let _: () = transaction.incr(&key).await?;
    let _: () = transaction.get(&key).await?;
    let _: () = transaction.del(&key).await?;
    equal(transaction.exec::<(String, i64, i64, i64)>(true).await?, ("OK".to_owned(), 2, 2, 1))
}

async fn watch(target: &Target) -> Result<()> {
    let (client, other) = (target.connect().await?, target.connect().await?);
    let key = own("watch");
    client.watch(&key).await?;
    let _: () = other.set(&key, "theirs", None, None, false).await?;
    let transaction = client.multi();
    let _: () = transaction.set(&key, "mine", None, None, false).await?;
    equal(transaction.exec::<Option<Vec<String>>>(true).await?, None)?;
    equal(other.getdel::<String, _>(&key).await?, "theirs".to_owned())
}

async fn documents(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let name = format!("compat_fred_{}", std::process::id());
    let words =
        |rest: &[&str]| -> Vec<String> { [name.as_str()].iter().chain(rest).map(|word| (*word).to_owned()).collect() };
    let command = |name: &'static str| CustomCommand::new_static(name, ClusterHash::FirstKey, false);
    let set: i64 = client.custom(command("DOC.SET"), words(&["a", r#"{"n":2}"#])).await?;
    equal(set, 1)?;
    let found: (i64, String) = client.custom(command("DOC.GET"), words(&["a", "WITHVER"])).await?;
    equal(found, (1, r#"{"_id":"a","n":2}"#.to_owned()))?;
    let updated: HashMap<String, Option<i64>> =
        client.custom(command("DOC.UPDATE"), words(&["{}", r#"{"$inc":{"n":5}}"#])).await?;
    let expected = [("matched", Some(1)), ("modified", Some(1)), ("upserted", None)];
    equal(updated, expected.map(|(name, count)| (name.to_owned(), count)).into())?;
    let refused = refusal(client.custom::<Value, _>(command("DOC.FIND"), words(&[r#"{"a":{"$no":1}}"#])).await)?;
    ensure!(refused.starts_with("BADFILTER "), "{refused}");
    let dropped: i64 = client.custom(command("DOC.DROP"), words(&[])).await?;
    equal(dropped, 1)
}

async fn json_commands(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let key = own("json");
    let _: () = client.json_set(&key, "$", json!({"name": "Ada", "list": [1, 2]}), None).await?;
    let found: Json = client.json_get(&key, NONE, NONE, NONE, "$").await?;
    equal(found, json!([{"name": "Ada", "list": [1, 2]}]))?;
    equal(client.json_arrappend::<i64, _, _, _>(&key, "$.list", vec![json!({"e": 1})]).await?, 3)?;
    equal(client.json_arrlen::<i64, _, _>(&key, Some("$.list")).await?, 3)?;
    equal(client.json_del::<i64, _, _>(&key, "$").await?, 1)
}

/// No key of this program is there any more.
pub async fn leaves_nothing(target: &Target) -> Result<()> {
    let client = target.connect().await?;
    let left: Vec<Key> = client.scan_buffered(own("*"), Some(1000), None).try_collect().await?;
    equal(left, Vec::new())
}
