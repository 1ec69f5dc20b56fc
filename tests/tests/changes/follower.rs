//! Somebody who knows a collection by its changes alone.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;
use veddb_tests::{Client, Value};

/// How long whatever is waited for may take: a debug build beside others is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Returns once this holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("{what} has not come about within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What DOC.CHANGES answered: the token, and the events.
pub(crate) fn answer(reply: &Value) -> Result<(String, Vec<Json>)> {
    let Value::Array(parts) = reply else { bail!("{reply}") };
    let [token, events] = parts.as_slice() else { bail!("{reply}") };
    let events: Result<Vec<Json>, _> =
        events.expect_array().iter().map(|event| serde_json::from_str(event.expect_text())).collect();
    Ok((token.expect_text().to_owned(), events?))
}

/// Asks for changes.
pub(crate) fn changes(client: &mut Client, words: &[&str]) -> Result<(String, Vec<Json>)> {
    let mut request = vec!["DOC.CHANGES"];
    request.extend(words);
    answer(&client.ask(&request)?)
}

/// All there is after a token, or from the beginning.
pub(crate) fn all(client: &mut Client, collection: &str, after: Option<&str>) -> Result<(String, Vec<Json>)> {
    let mut token = after.unwrap_or("EARLIEST").to_owned();
    let mut all = Vec::new();
    loop {
        let (next, events) = changes(client, &[collection, "AFTER", &token, "FULLDOC"])?;
        if next == token {
            return Ok((token, all));
        }
        all.extend(events);
        token = next;
    }
}

/// A collection as its changes tell it: by id, the version and the document.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) token: Option<String>,
    pub(crate) documents: BTreeMap<String, (u64, Json)>,
    /// How many events it was given.
    pub(crate) events: usize,
}

impl Follower {
    /// Takes an event, which must be the one after the last.
    pub(crate) fn take(&mut self, event: &Json) -> Result<()> {
        let number = self.events;
        let wrong = || format!("event {number} does not follow: {event}");
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        let version = event["version"].as_u64().unwrap_or_default();
        let known = self.documents.get(&id).map(|(version, _)| *version);
        self.events += 1;
        match event["op"].as_str().context("no op")? {
            "insert" => ensure!(known.is_none() && version == 1, wrong()),
            "update" | "replace" => ensure!(known.is_some_and(|known| known + 1 == version), wrong()),
            "delete" => {
                ensure!(known == Some(version), wrong());
                self.documents.remove(&id);
                return Ok(());
            }
            "drop" => {
                self.documents.clear();
                return Ok(());
            }
            other => bail!("{other}: {event}"),
        }
        let document = event.get("doc").cloned().with_context(|| format!("no doc: {event}"))?;
        self.documents.insert(id, (version, document));
        Ok(())
    }

    /// Takes what comes next, of so many events at once, if anything comes within some milliseconds.
    pub(crate) fn follow(
        &mut self,
        client: &mut Client,
        collection: &str,
        count: usize,
        block_ms: u64,
    ) -> Result<usize> {
        let after = self.token.clone().unwrap_or("EARLIEST".to_owned());
        let (count, block_ms) = (count.to_string(), block_ms.to_string());
        let words = [collection, "AFTER", &after, "FULLDOC", "COUNT", &count, "BLOCK", &block_ms];
        let (token, events) = changes(client, &words)?;
        for event in &events {
            self.take(event)?;
        }
        if let Some(last) = events.last() {
            // Both are places after the last event.
            ensure!(last["token"].is_string(), "no token: {last}");
        }
        self.token = Some(token);
        Ok(events.len())
    }
}

/// A collection as DOC.FIND gives it.
pub(crate) fn stored(client: &mut Client, collection: &str) -> Result<BTreeMap<String, (u64, Json)>> {
    let found = client.ask(&["DOC.FIND", collection, "{}", "WITHVER"])?;
    let one = |found: &Value| -> Result<(String, (u64, Json))> {
        let pair = found.expect_array();
        let document: Json = serde_json::from_str(pair[1].expect_text())?;
        let id = document["_id"].as_str().context("no _id")?.to_owned();
        Ok((id, (u64::try_from(pair[0].expect_integer())?, document)))
    };
    found.expect_array().iter().map(one).collect()
}
