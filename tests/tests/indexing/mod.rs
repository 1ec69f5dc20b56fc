//! What the suites of the indexes share: IDX.LIST and IDX.VERIFY as they read them, and waiting for a build.
//!
//! Holds no test. Every wait has an end.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;
use veddb_tests::{Client, Value};

/// How long a build may take in these suites, which have at most some ten thousand documents.
pub(crate) const BUILD_MAX: Duration = Duration::from_secs(60);

/// The index that every collection has; IDX.LIST may name it or not.
const ID_INDEX: &str = "_id_";

/// The entries of IDX.LIST, without that of `_id`.
pub(crate) fn list(client: &mut Client, collection: &str) -> Result<Vec<Value>> {
    let reply = client.ask(&["IDX.LIST", collection])?;
    Ok(reply.expect_array().iter().filter(|index| text(index, "name") != ID_INDEX).cloned().collect())
}

/// One entry of IDX.LIST.
pub(crate) fn listed(client: &mut Client, collection: &str, name: &str) -> Result<Option<Value>> {
    Ok(list(client, collection)?.into_iter().find(|index| text(index, "name") == name))
}

/// A member of a map that is text.
pub(crate) fn text<'a>(map: &'a Value, name: &str) -> &'a str {
    map.get(name).unwrap_or_else(|| panic!("no {name} in {map}")).expect_text()
}

/// A member of a map that is a number: an integer, or a double, which is text under RESP2.
pub(crate) fn number(map: &Value, name: &str) -> f64 {
    match map.get(name).unwrap_or_else(|| panic!("no {name} in {map}")) {
        Value::Integer(number) => *number as f64,
        Value::Double(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number in {map}")),
        other => other.expect_text().parse().unwrap_or_else(|_| panic!("{name} is no number in {map}")),
    }
}

/// Waits until every index of the collection is ready; one that failed is an error.
pub(crate) fn wait_until_ready(client: &mut Client, collection: &str) -> Result<()> {
    let until = Instant::now() + BUILD_MAX;
    loop {
        let indexes = list(client, collection)?;
        if let Some(failed) = indexes.iter().find(|index| text(index, "state") == "failed") {
            bail!("a build failed: {failed}");
        }
        if indexes.iter().all(|index| text(index, "state") == "ready") {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("not ready within {BUILD_MAX:?}: {indexes:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Asks until the answer is yes.
pub(crate) fn wait_for(what: &str, most: Duration, mut answer: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + most;
    while !answer()? {
        if Instant::now() > until {
            bail!("{what}: not within {most:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Indexes and documents agree; what IDX.VERIFY says. Without a name it is asked of all indexes.
pub(crate) fn verify(client: &mut Client, collection: &str, name: Option<&str>) -> Result<Value> {
    let mut request = vec!["IDX.VERIFY", collection];
    request.extend(name);
    let reply = client.ask(&request)?;
    for wrong in ["missing", "dangling"] {
        let count = reply.get(wrong).with_context(|| format!("no {wrong} in {reply}"))?.expect_integer();
        assert_eq!(count, 0, "{request:?}: {reply}");
    }
    Ok(reply)
}

/// The same, and how many entries the index has.
pub(crate) fn verify_entries(client: &mut Client, collection: &str, name: &str, entries: usize) -> Result<()> {
    let reply = verify(client, collection, Some(name))?;
    let found = reply.get("entries").with_context(|| format!("no entries in {reply}"))?.expect_integer();
    assert_eq!(found, entries as i64, "the entries of {name} in {collection}: {reply}");
    Ok(())
}

/// The documents of a reply.
pub(crate) fn documents(reply: &Value) -> Result<Vec<Json>> {
    reply.expect_array().iter().map(|text| Ok(serde_json::from_str(text.expect_text())?)).collect()
}

/// The ids of a reply of documents, in its order.
pub(crate) fn ids(reply: &Value) -> Result<Vec<String>> {
    let id = |document: &Json| document["_id"].as_str().map(str::to_owned).context("a document without a text for _id");
    documents(reply)?.iter().map(id).collect()
}

/// What DOC.EXPLAIN says of a query.
pub(crate) fn explain(client: &mut Client, words: &[&str]) -> Result<Json> {
    let mut request = vec!["DOC.EXPLAIN"];
    request.extend_from_slice(words);
    Ok(serde_json::from_str(client.ask(&request)?.expect_text())?)
}

/// Inserts documents, many at a time, some requests ahead of their replies.
pub(crate) fn load(client: &mut Client, collection: &str, documents: &[String]) -> Result<()> {
    for window in documents.chunks(4000) {
        let request = |chunk: &[String]| {
            let head = ["DOC.INSERT".to_owned(), collection.to_owned()];
            head.into_iter().chain(chunk.iter().cloned()).collect::<Vec<String>>()
        };
        let requests: Vec<Vec<String>> = window.chunks(500).map(request).collect();
        for reply in client.pipeline(&requests)? {
            if let Value::Error(message) = reply {
                bail!("{message}");
            }
        }
    }
    Ok(())
}
