//! Clients that read and write documents while the data key is changed, and how late their answers come, step by step.
//!
//! Owns the clients, the clock and the count. Knows nothing of the server but its address, that DOC.SET, DOC.GET and KEY.*
//! are answered there, and, from /proc, how much memory it has. Every client sends one command, waits for its answer and
//! sends the next: as often a DOC.SET as a DOC.GET, each of a random document. One thread does it all.
//!
//! `veddb-bench-mixed HOST:PORT CLIENTS DOCUMENTS SECONDS`
//!
//! Fills the collection, changes the key while nobody works, measures for that many seconds, then changes the key under the
//! same load. Prints a line for each part: its seconds, commands a second, the median and the 99th percentile of DOC.SET and of
//! DOC.GET in milliseconds, and the most memory that was resident.

mod resp;

mod document;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use resp::{Connection, Reply, request};
use tokio::task::JoinSet;

use document::document;

const COLLECTION: &str = "mixed";
/// How often it is looked what the server does and how much memory it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const WARM_UP: Duration = Duration::from_secs(5);
const FILL_BATCH: usize = 500;
const LATENCY_US_MAX: u64 = 60_000_000;

/// What is measured of one part of a run.
struct Part {
    sets: Histogram<u64>,
    gets: Histogram<u64>,
    time: Duration,
    resident_bytes: u64,
}

impl Part {
    fn new() -> Result<Part> {
        let empty = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        Ok(Part { sets: empty()?, gets: empty()?, time: Duration::ZERO, resident_bytes: 0 })
    }

    fn add(&mut self, other: &Part) -> Result<()> {
        self.sets.add(&other.sets)?;
        self.gets.add(&other.gets)?;
        self.time += other.time;
        self.resident_bytes = self.resident_bytes.max(other.resident_bytes);
        Ok(())
    }

    fn print(&self, name: &str) {
        let ms = |of: &Histogram<u64>, quantile| of.value_at_quantile(quantile) as f64 / 1000.0;
        let rate = (self.sets.len() + self.gets.len()) as f64 / self.time.as_secs_f64().max(0.001);
        print!("{name:<24}{:>8.1}{rate:>12.0}", self.time.as_secs_f64());
        for of in [&self.sets, &self.gets] {
            print!("{:>10.2}{:>10.2}", ms(of, 0.5), ms(of, 0.99));
        }
        println!("{:>10.0}", self.resident_bytes as f64 / 1e6);
    }
}

/// What the tasks share: the part that is measured, by its name.
struct Run {
    address: String,
    documents: u64,
    stopping: AtomicBool,
    parts: Mutex<(String, BTreeMap<String, Part>)>,
}

impl Run {
    fn parts(&self) -> MutexGuard<'_, (String, BTreeMap<String, Part>)> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what follows to this part.
    fn enter(&self, name: &str) -> Result<()> {
        let mut parts = self.parts();
        if !parts.1.contains_key(name) {
            parts.1.insert(name.to_owned(), Part::new()?);
        }
        name.clone_into(&mut parts.0);
        Ok(())
    }

    /// Changes what is measured of the part that it is in.
    fn note(&self, change: impl FnOnce(&mut Part)) {
        let mut parts = self.parts();
        let (name, parts) = &mut *parts;
        if let Some(part) = parts.get_mut(name) {
            change(part);
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, clients, documents, seconds] = words.as_slice() else {
        bail!("arguments: HOST:PORT CLIENTS DOCUMENTS SECONDS");
    };
    let clients: usize = clients.parse().context("CLIENTS")?;
    let seconds = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let run = Arc::new(Run {
        address: address.clone(),
        documents: documents.parse().context("DOCUMENTS")?,
        stopping: AtomicBool::new(false),
        parts: Mutex::default(),
    });
    let mut watch = Connection::to(address).await?;
    let pid = process_id(&mut watch).await?;

    fill(&run).await?;
    println!(
        "{:<24}{:>8}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "s", "commands/s", "SET p50", "p99 ms", "GET p50", "p99 ms", "RSS MB"
    );
    run.enter("nobody works")?;
    look_for(&run, pid, Duration::from_secs(1)).await?;
    let records = rotate(&run, &mut watch, pid, "idle").await?;
    let idle = total(&run, "idle ")?;
    let pass: Duration = ["idle documents", "idle pages", "idle checkpoint"]
        .iter()
        .filter_map(|name| run.parts().1.get(*name).map(|part| part.time))
        .sum();

    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(client(Arc::clone(&run)));
    }
    run.enter("warm-up")?;
    look_for(&run, pid, WARM_UP).await?;
    run.enter("before")?;
    look_for(&run, pid, seconds).await?;
    rotate(&run, &mut watch, pid, "during").await?;
    run.enter("after")?;
    look_for(&run, pid, seconds).await?;
    run.stopping.store(true, Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }

    let during = total(&run, "during ")?;
    for (name, part) in run.parts().1.iter().filter(|(name, _)| *name != "warm-up") {
        part.print(name);
    }
    idle.print("idle, whole");
    during.print("during, whole");
    println!(
        "idle: {records} records in {:.1} s, {:.0} a second while it re-seals; completed after {:.1} s",
        pass.as_secs_f64(),
        records as f64 / pass.as_secs_f64().max(0.001),
        idle.time.as_secs_f64()
    );
    let parts = run.parts();
    let before = parts.1.get("before").context("it was measured")?;
    let ratio = |of: fn(&Part) -> &Histogram<u64>| {
        of(&during).value_at_quantile(0.99) as f64 / of(before).value_at_quantile(0.99).max(1) as f64
    };
    println!(
        "under load: p99 during / before: DOC.SET {:.2}, DOC.GET {:.2}; completed after {:.1} s",
        ratio(|part| &part.sets),
        ratio(|part| &part.gets),
        during.time.as_secs_f64()
    );
    Ok(())
}

/// All parts whose names begin so, as one.
fn total(run: &Run, prefix: &str) -> Result<Part> {
    let mut total = Part::new()?;
    for (_, part) in run.parts().1.iter().filter(|(name, _)| name.starts_with(prefix)) {
        total.add(part)?;
    }
    Ok(total)
}

fn set(id: u64) -> Vec<u8> {
    request(&["DOC.SET", COLLECTION, &id.to_string(), &document(id)])
}

async fn fill(run: &Run) -> Result<()> {
    let mut connection = Connection::to(&run.address).await?;
    let began = Instant::now();
    let ids: Vec<u64> = (0..run.documents).collect();
    for some in ids.chunks(FILL_BATCH) {
        let requests: Vec<u8> = some.iter().flat_map(|id| set(*id)).collect();
        connection.send(&requests).await?;
        for _ in some {
            connection.reply().await?;
        }
    }
    println!("{} documents in {:.1} s", run.documents, began.elapsed().as_secs_f64());
    Ok(())
}

async fn client(run: Arc<Run>) -> Result<()> {
    let mut connection = Connection::to(&run.address).await?;
    while !run.stopping.load(Relaxed) {
        let id = rand::random_range(0..run.documents);
        let is_set = rand::random::<bool>();
        let raw = if is_set { set(id) } else { request(&["DOC.GET", COLLECTION, &id.to_string()]) };
        let began = Instant::now();
        connection.send(&raw).await?;
        let reply = connection.reply().await?;
        ensure!(reply != Reply::Null, "document {id} is gone");
        let took_us = u64::try_from(began.elapsed().as_micros())?.max(1);
        run.note(
            |part| if is_set { part.sets.saturating_record(took_us) } else { part.gets.saturating_record(took_us) },
        );
    }
    Ok(())
}

/// Changes the key and waits until that is completed, measuring each step as a part. Answers how many records there were.
async fn rotate(run: &Run, watch: &mut Connection, pid: u32, name: &str) -> Result<u64> {
    watch.ask(&["KEY.ROTATE"]).await?;
    loop {
        let status = members(watch.ask(&["KEY.STATUS"]).await?);
        let text = |name: &str| status.get(name).map_or("", String::as_str);
        match text("state") {
            "completed" => return Ok(text("total").parse()?),
            "re-encrypting" => {}
            other => bail!("the rotation is {other}: {}", text("error")),
        }
        let step = text("checkpoint").split(' ').next().unwrap_or_default().to_owned();
        run.enter(&format!("{name} {}", if step.is_empty() { "begin" } else { &step }))?;
        look_for(run, pid, LOOK_INTERVAL).await?;
    }
}

/// Lets time pass, and notes it and how much memory the server has meanwhile.
async fn look_for(run: &Run, pid: u32, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let began = Instant::now();
        tokio::time::sleep(LOOK_INTERVAL.min(until.saturating_duration_since(began))).await;
        let resident_bytes = resident(pid)?;
        run.note(|part| {
            part.time += began.elapsed();
            part.resident_bytes = part.resident_bytes.max(resident_bytes);
        });
    }
    Ok(())
}

async fn process_id(watch: &mut Connection) -> Result<u32> {
    let Reply::Text(info) = watch.ask(&["INFO", "server"]).await? else { bail!("INFO is no text") };
    let line = info.lines().find_map(|line| line.strip_prefix("process_id:")).context("no process_id")?;
    Ok(line.trim().parse()?)
}

fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn members(reply: Reply) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Reply::Array(items) = reply {
        let mut items = items.into_iter();
        while let (Some(Reply::Text(name)), Some(value)) = (items.next(), items.next()) {
            if let Reply::Text(value) = value {
                found.insert(name, value);
            }
        }
    }
    found
}
