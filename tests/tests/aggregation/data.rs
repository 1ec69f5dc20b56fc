//! The documents of these suites, and how their queries are asked.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Random, Server, Value, setting};

/// Documents that a test knows.
pub(crate) struct Documents {
    pub(crate) count: usize,
    pub(crate) keys: usize,
    pub(crate) text: usize,
}

impl Documents {
    /// So many bytes in all, about, each with so many bytes of text.
    pub(crate) fn of(bytes: usize, text: usize) -> Documents {
        let count = bytes / text;
        Documents { count, keys: (count / 5).max(1), text }
    }

    /// The text of one; no two have the same, and their order is not that of their ids.
    pub(crate) fn text(&self, id: usize) -> String {
        let head = format!("{:016x}", Random::new(id as u64).number());
        let mut text = head.repeat(self.text.div_ceil(head.len()));
        text.truncate(self.text);
        text
    }

    /// By what one is grouped.
    pub(crate) fn key(&self, id: usize) -> usize {
        id.wrapping_mul(7919) % self.keys
    }

    pub(crate) fn document(&self, id: usize) -> String {
        let Documents { keys, .. } = self;
        let (key, text) = (self.key(id), self.text(id));
        format!(r#"{{"_id":{id},"k":{key},"p":{},"v":{},"next":{},"t":"{text}"}}"#, id % 10, id % 1000, (id + 1) % keys)
    }

    pub(crate) fn insert(&self, client: &mut Client, collection: &str) -> Result<()> {
        let ids: Vec<usize> = (0..self.count).collect();
        let part = ((256 << 10) / self.text).clamp(1, 500);
        for part in ids.chunks(part) {
            let mut request = vec!["DOC.INSERT".to_owned(), collection.to_owned()];
            request.extend(part.iter().map(|id| self.document(*id)));
            client.ask(&request)?;
        }
        Ok(())
    }
}

/// A server whose own caches are small, so that what queries take is seen.
pub(crate) fn options() -> Options {
    Options::new()
        .set("appendfsync", "everysec")
        .set("maxmemory-cache", "8mb")
        .set("maxmemory-index", "32mb")
        .set("maxmemory-writes", "8mb")
}

pub(crate) fn client(server: &Server) -> Result<Client> {
    let client = server.client()?;
    client.set_timeout(Duration::from_secs(600))?;
    Ok(client)
}

/// The memory of one query, bytes.
pub(crate) fn limit() -> usize {
    setting("VEDDB_QUERY_MEMORY_MB", 8) as usize * (1 << 20)
}

pub(crate) fn parsed(value: &Value) -> Json {
    serde_json::from_str(value.expect_text()).unwrap()
}

/// Hands each document of a pipeline's answer to `each`, by a cursor.
pub(crate) fn each(
    client: &mut Client,
    collection: &str,
    pipeline: &Json,
    mut each: impl FnMut(Json) -> Result<()>,
) -> Result<usize> {
    let mut count = 0;
    let mut reply = client.ask(&["DOC.AGGREGATE", collection, &pipeline.to_string(), "CURSOR", "100"])?;
    loop {
        let [cursor, batch] = reply.expect_array() else { anyhow::bail!("not a cursor: {reply}") };
        for document in batch.expect_array() {
            each(parsed(document))?;
            count += 1;
        }
        match cursor.expect_integer() {
            0 => return Ok(count),
            cursor => reply = client.ask(&["DOC.CURSOR", "READ", &cursor.to_string(), "COUNT", "1000"])?,
        }
    }
}

/// How many bytes a pipeline writes to temporary files.
pub(crate) fn spilled(client: &mut Client, collection: &str, pipeline: &Json) -> Result<u64> {
    let explained = parsed(&client.ask(&["DOC.EXPLAIN", "AGGREGATE", collection, &pipeline.to_string()])?);
    explained["spilledBytes"].as_u64().context("no spilledBytes")
}

/// A line of /proc/PID/status, bytes.
pub(crate) fn status(server: &Server, name: &str) -> Result<usize> {
    let pid = server.pid().context("the server is not running")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// The most that the server's resident set grows while `work` is done, bytes.
pub(crate) fn growth(server: &Server, what: &str, work: impl FnOnce() -> Result<()>) -> Result<usize> {
    let pid = server.pid().context("the server is not running")?;
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    let before = status(server, "VmRSS:")?;
    work()?;
    let most = status(server, "VmHWM:")?;
    let growth = most.saturating_sub(before);
    println!("{what}: {} MB, at most {} MB", before >> 20, most >> 20);
    Ok(growth)
}

/// Checks that a reply is an error with this code.
pub(crate) fn refused(reply: &Value, code: &str) -> Result<()> {
    ensure!(reply.is_error(code), "not {code}: {}", reply.to_string().chars().take(300).collect::<String>());
    Ok(())
}

/// A pipeline of a stage alone.
pub(crate) fn alone(stage: Json) -> Json {
    json!([stage])
}

/// Waits until queries hold nothing: what is over is let go beside its answer.
pub(crate) fn nothing_is_held(client: &mut Client) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(5);
    while client.figure("memory", "query_memory_bytes")? != "0" {
        ensure!(Instant::now() < until, "memory is held that nobody uses");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
