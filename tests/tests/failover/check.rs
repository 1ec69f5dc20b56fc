//! What of the writes is there in the end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value as Json;
use veddb_tests::linear::{Action, Operation, is_linearizable};
use veddb_tests::{Client, Value};

use super::writers::{Outcome, Write};

/// Documents that are read with one round trip.
const AT_ONCE: usize = 500;

/// The values of these documents; none where there is no document.
fn read(client: &mut Client, collection: &str, documents: &[u64]) -> Result<BTreeMap<u64, Option<u64>>> {
    let mut found = BTreeMap::new();
    for some in documents.chunks(AT_ONCE) {
        let get = |document: &u64| vec!["DOC.GET".to_owned(), collection.to_owned(), document.to_string()];
        let requests: Vec<Vec<String>> = some.iter().map(get).collect();
        for (document, reply) in some.iter().zip(client.pipeline(&requests)?) {
            let value = match &reply {
                Value::Null => None,
                reply => {
                    let body: Json = serde_json::from_str(reply.text().with_context(|| format!("{reply}"))?)?;
                    Some(body.get("v").and_then(Json::as_u64).context("a document without its value")?)
                }
            };
            found.insert(*document, value);
        }
    }
    Ok(found)
}

/// The acknowledged writes that are not there any more, where each write had a document of its own.
pub(crate) fn lost(client: &mut Client, collection: &str, writes: &[Write]) -> Result<Vec<Write>> {
    let done: Vec<&Write> = writes.iter().filter(|write| write.outcome == Outcome::Done).collect();
    let documents: Vec<u64> = done.iter().map(|write| write.document).collect();
    let found = read(client, collection, &documents)?;
    let is_there = |write: &Write| found.get(&write.document) == Some(&Some(write.value));
    Ok(done.into_iter().filter(|write| !is_there(write)).copied().collect())
}

/// The histories of documents where what is there cannot come of these writes, all acknowledged ones among them.
pub(crate) fn not_linearizable(client: &mut Client, collection: &str, writes: &[Write]) -> Result<Vec<Vec<Operation>>> {
    let mut histories: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.outcome != Outcome::Refused) {
        let returned = (write.outcome == Outcome::Done).then_some(write.returned);
        let operation = Operation { action: Action::Write(write.value), called: write.called, returned };
        histories.entry(write.document).or_default().push(operation);
    }
    let documents: Vec<u64> = histories.keys().copied().collect();
    for (document, value) in read(client, collection, &documents)? {
        let operations = histories.entry(document).or_default();
        // After all others: the clients rest.
        let read = Operation { action: Action::Read(value), called: u64::MAX - 1, returned: Some(u64::MAX) };
        operations.push(read);
    }
    Ok(histories.into_values().filter(|operations| !is_linearizable(operations)).collect())
}
