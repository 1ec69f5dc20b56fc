//! The section memory: what the process takes, as the system says it, and what of that is whose, by documents of a known size.

use std::fs;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Server, request, until};

use crate::Check;
use crate::seen::{Info, Seen};

pub(crate) const CHECKS: &[Check] = &[
    ("process", process),
    ("documents", documents),
    ("indexes", indexes),
    ("settings", settings),
    ("messages", messages),
];

const MIB: f64 = 1_048_576.0;
/// What may be taken or given back between two looks at the process.
const NOISE: f64 = 4.0 * MIB;

/// Bytes that the system says of the process, or of the machine.
fn said(file: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: f64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib * 1024.0)
}

fn of(server: &Server, name: &str) -> Result<f64> {
    said(&format!("/proc/{}/status", server.pid().context("it runs")?), name)
}

/// As Redis writes bytes for people.
fn human(bytes: f64) -> String {
    let units = [(1024_f64.powi(4), "T"), (1024_f64.powi(3), "G"), (MIB, "M"), (1024.0, "K")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.2}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

fn process(seen: &mut Seen) -> Result<()> {
    let server = Options::new().environment("MIMALLOC_VERBOSE", "1").start()?;
    let mut client = server.client()?;
    let (own, resident) = (of(&server, "RssAnon:")?, of(&server, "VmRSS:")?);
    let info = seen.look(&mut client)?;
    seen.within(&info, "used_memory", own - NOISE..=own + NOISE)?;
    seen.within(&info, "used_memory_rss", resident - NOISE..=resident + NOISE)?;
    seen.within(&info, "used_memory_startup", MIB..=own + NOISE)?;
    seen.is(&info, "total_system_memory", said("/proc/meminfo", "MemTotal:")?)?;
    for name in ["used_memory", "used_memory_rss", "used_memory_peak", "total_system_memory"] {
        seen.is(&info, &format!("{name}_human"), human(info.number(name)?))?;
    }
    let ratio = info.number("used_memory_rss")? / info.number("used_memory")?;
    seen.within(&info, "mem_fragmentation_ratio", ratio * 0.8..=ratio * 1.2)?;
    ensure!(server.log().contains("mimalloc: "), "the allocator says nothing");
    seen.is(&info, "mem_allocator", "mimalloc")?;

    // A reply that nobody takes is held; what the process took at most stays known.
    client.ask(&["SET", "large", &"x".repeat(8 << 20)])?;
    let before = seen.look(&mut client)?;
    let mut slow: Vec<Client> = (0..8).map(|_| server.client()).collect::<Result<_>>()?;
    for slow in &mut slow {
        slow.send(&request(&["GET", "large"]))?;
    }
    let held = 8.0 * 8.0 * MIB;
    let high = seen.comes_within(&mut client, "mem_clients_normal", held..=2.0 * held)?;
    for name in ["used_memory", "used_memory_rss"] {
        // What the allocator kept of the request before is used again.
        let most = before.number(name)? + 2.0 * held + 32.0 * MIB;
        seen.within(&high, name, held..=most)?;
    }
    drop(slow);
    let low = seen.comes_within(&mut client, "mem_clients_normal", 1.0..=MIB)?;
    let most = of(&server, "VmHWM:")?;
    seen.within(&low, "used_memory_peak", high.number("used_memory")?..=most)?;
    ensure!(low.number("used_memory_peak")? >= low.number("used_memory")?, "a peak below what is used");
    Ok(())
}

fn load(client: &mut Client, count: usize, bytes: usize) -> Result<()> {
    let fill = "x".repeat(bytes);
    for at in 0..count {
        client.ask(&["DOC.SET", "c", &at.to_string(), &format!(r#"{{"fill":"{fill}"}}"#)])?;
    }
    Ok(())
}

fn read(client: &mut Client, count: usize) -> Result<()> {
    (0..count).try_for_each(|at| client.ask(&["DOC.GET", "c", &at.to_string()]).map(drop))
}

/// Documents that are written are held until a checkpoint, and those that are read until others take their place.
fn documents(seen: &mut Seen) -> Result<()> {
    const COUNT: usize = 16;
    let bytes = COUNT as f64 * MIB;
    let options = Options::new().set("maxmemory-writes", "256mb").set("maxmemory-cache", "128mb");
    let mut server = options.set("appendfsync", "no").start()?;
    let mut client = server.client()?;
    let before = seen.look(&mut client)?;
    load(&mut client, COUNT, 1 << 20)?;
    let after = seen.look(&mut client)?;
    seen.grew(&before, &after, "write_memory_bytes", bytes..=bytes * 1.05)?;
    let most = before.number("used_memory")? + bytes + 64.0 * MIB;
    seen.within(&after, "used_memory", bytes..=most)?;
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    let before = seen.look(&mut client)?;
    seen.is(&before, "write_memory_bytes", 0)?;
    read(&mut client, COUNT)?;
    let after = seen.look(&mut client)?;
    seen.grew(&before, &after, "cache_memory_bytes", bytes..=bytes * 1.05)?;
    // The start has left memory that is used again.
    let most = before.number("used_memory")? + bytes + 64.0 * MIB;
    seen.within(&after, "used_memory", bytes..=most)?;
    seen.grew_by(&before, &after, "document_cache_misses", COUNT as u64)?;
    seen.grew_by(&before, &after, "document_cache_hits", 0)?;
    read(&mut client, COUNT)?;
    let again = seen.look(&mut client)?;
    seen.grew_by(&after, &again, "document_cache_misses", 0)?;
    seen.grew_by(&after, &again, "document_cache_hits", COUNT as u64)
}

/// Entries of an index, of keys that have nothing in common.
fn indexes(seen: &mut Seen) -> Result<()> {
    const COUNT: usize = 4000;
    const KEY_BYTES: usize = 1000;
    let mut server = Options::new().set("maxmemory-index", "64mb").set("appendfsync", "no").start()?;
    let mut client = server.client()?;
    client.ask(&["IDX.CREATE", "c", "by_k", r#"{"k":1}"#, "SYNC"])?;
    let mut random = veddb_tests::Random::new(veddb_tests::seed());
    for part in 0..COUNT / 200 {
        let mut request = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
        for at in 0..200 {
            let key: String = (0..KEY_BYTES / 16).map(|_| format!("{:016x}", random.number())).collect();
            request.push(format!(r#"{{"_id":"{}","k":"{key}"}}"#, part * 200 + at));
        }
        client.ask(&request)?;
    }
    let bytes = (COUNT * (KEY_BYTES / 16 * 16)) as f64;
    // A checkpoint makes pages of them.
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    let before = seen.look(&mut client)?;
    let scan =
        ["DOC.FIND", "c", r#"{"k":{"$gt":""}}"#, "PROJECT", r#"{"k":1,"_id":0}"#, "HINT", "by_k", "LIMIT", "100000"];
    let found = client.run(&scan)?;
    ensure!(!matches!(found, veddb_tests::Value::Error(_)), "{found}");
    let after = seen.look(&mut client)?;
    // Each page is read once, being kept; a page is of some kilobytes.
    seen.grew(&before, &after, "index_page_loads", bytes / 65_536.0..=bytes / 1024.0)?;
    seen.grew(&before, &after, "index_memory_bytes", bytes..=1.7 * bytes)?;
    seen.grew_by(&before, &after, "index_page_evictions", 0)?;
    client.run(&scan)?;
    let again = seen.look(&mut client)?;
    seen.grew_by(&after, &again, "index_page_loads", 0)?;
    // As many go as do not fit any more.
    let pages = after.number("index_page_loads")? - before.number("index_page_loads")?;
    client.ask(&["CONFIG", "SET", "maxmemory-index", "1mb"])?;
    until("its memory being less", || {
        client.run(&["DOC.GET", "c", "1"])?;
        client.run(&scan)?;
        Ok(client.figure("memory", "index_memory_bytes")?.parse::<f64>()? < 1.5 * MIB)
    })?;
    let last = seen.look(&mut client)?;
    seen.within(&last, "index_page_evictions", pages * 0.5..=f64::from(u32::MAX))?;
    // What was loaded is there, or has gone again.
    let there =
        |info: &Info| -> Result<f64> { Ok(info.number("index_page_loads")? - info.number("index_page_evictions")?) };
    ensure!((0.0..=pages).contains(&(there(&last)? - before.number("index_page_loads")?)), "{}", there(&last)?);
    Ok(())
}

fn settings(seen: &mut Seen) -> Result<()> {
    let options = Options::new().set("maxmemory", "3gb").set("maxmemory-cache", "7mb").set("maxmemory-index", "9mb");
    let server = options.start()?;
    let mut client = server.client()?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "maxmemory", 3_u64 << 30)?;
    seen.is(&info, "maxmemory_human", "3.00G")?;
    seen.is(&info, "maxmemory_cache", 7 << 20)?;
    seen.is(&info, "maxmemory_index", 9 << 20)?;
    // Nothing is evicted: what would take more is refused.
    client.ask(&["SET", "a", "x"])?;
    client.ask(&["CONFIG", "SET", "maxmemory", "1mb"])?;
    until("writes being refused", || Ok(client.run(&["SET", "b", "x"])?.is_error("OOM")))?;
    ensure!(client.ask(&["GET", "a"])?.text() == Some("x"));
    seen.is(&info, "maxmemory_policy", "noeviction")
}

fn messages(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let (mut client, mut slow) = (server.client()?, server.client()?);
    slow.ask(&["SUBSCRIBE", "news"])?;
    let info = seen.look(&mut client)?;
    seen.within(&info, "mem_clients_pubsub", 0.0..=MIB)?;
    let message = "x".repeat(1 << 20);
    let mut published = 0.0;
    until("ten messages waiting", || {
        client.ask(&["PUBLISH", "news", &message])?;
        published += MIB;
        Ok(seen.look(&mut client)?.number("mem_clients_pubsub")? >= 10.0 * MIB)
    })?;
    let info = seen.look(&mut client)?;
    // The last ones may be put together for the socket just then.
    seen.within(&info, "mem_clients_pubsub", 9.0 * MIB..=published + 2.0 * MIB)?;
    drop(slow);
    seen.comes(&mut client, "mem_clients_pubsub", 0)?;
    Ok(())
}
