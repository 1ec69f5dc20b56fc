//! A replica that reads nothing costs its primary a bounded amount of memory and of disk, however much is written and whoever
//! follows the changes beside it, and is an equal again once it reads on.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use veddb_tests::{Options, Proxy, Random, Server, Value, seed, setting};

use super::pair::{PATIENCE, ensure_equal, figure, follow, options, until_in_step};

const MIB: u64 = 1 << 20;
/// What of the log is kept for replicas, and for who follows changes.
const KEPT: u64 = 8 * MIB;
const SEGMENT: u64 = MIB;
/// Documents that no checkpoint has written.
const WRITES: u64 = 4 * MIB;
/// Beside what is kept: what is written until a checkpoint has ended, which frees the log, up to four times [`WRITES`]; two
/// segments that are not full.
const LOG_MOST: u64 = KEPT + 4 * WRITES + 2 * SEGMENT;
/// How long those who follow the changes leave between two questions: one keeps up, one cannot.
const PAUSES_MS: [u64; 2] = [0, 700];
/// What a replica that does not read may cost of memory: four pieces, two that are being made and sent, and 32 MiB of messages.
const MEMORY_MOST: u64 = 6 * MIB + 32 * MIB;
/// Beside the log, as many times what the data take on disk while the replica is in step: compactions run when they like.
const DISK_TIMES: u64 = 2;
/// Memory differs so much by itself.
const MEMORY_NOISE: u64 = 16 * MIB;
/// Clients that write.
const WRITERS: u64 = 4;
/// Documents that they write over and over, and bytes of each.
const DOCUMENTS: usize = 1024;
const DOCUMENT_BYTES: usize = 16 << 10;

fn bounded(options: Options) -> Options {
    let options = options.set("repl-log-size", KEPT.to_string()).set("log-segment-size", SEGMENT.to_string());
    let options = options.set("changes-log-size", KEPT.to_string());
    let options = options.set("maxmemory-writes", WRITES.to_string()).set("maxmemory-cache", (4 * MIB).to_string());
    options.set("maxmemory-index", (4 * MIB).to_string()).set("appendfsync", "everysec")
}

/// The most of each that was seen.
#[derive(Debug, Default, Clone, Copy)]
struct Most {
    log: u64,
    disk: u64,
    resident: u64,
}

impl Most {
    fn look(&mut self, server: &Server) -> Result<()> {
        self.log = self.log.max(size(&server.dir().join("log")));
        self.disk = self.disk.max(size(&server.dir()));
        self.resident = self.resident.max(server.resident()?);
        Ok(())
    }
}

/// Bytes of the files below; those that are deleted meanwhile count or not.
fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).map_or(0, |file| file.len()) };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

/// What one heard who follows the changes.
#[derive(Debug, Default)]
struct Heard {
    events: u64,
    /// How often what it wanted next was not kept any more.
    lost: u64,
}

/// Follows all changes until it is told to end. What comes is without a gap, but where the server says that there is one.
fn follow_changes(server: &Server, pause: Duration, ended: &AtomicBool) -> Result<Heard> {
    let mut client = server.client()?;
    let place = |reply: &Value| reply.expect_array()[0].expect_text().to_owned();
    let mut token = place(&client.ask(&["DOC.CHANGES", "*", "NOW"])?);
    let (mut heard, mut versions) = (Heard::default(), HashMap::<String, u64>::new());
    while !ended.load(SeqCst) {
        let reply = client.run(&["DOC.CHANGES", "*", "AFTER", &token, "BLOCK", "100"])?;
        if let Value::Error(error) = &reply {
            ensure!(error.starts_with("HISTORYLOST"), "{error}");
            heard.lost += 1;
            versions.clear();
            token = place(&client.ask(&["DOC.CHANGES", "*", "NOW"])?);
            continue;
        }
        token = place(&reply);
        for event in reply.expect_array()[1].expect_array() {
            let event: Json = serde_json::from_str(event.expect_text())?;
            let id = event["id"].as_str().context("no id")?.to_owned();
            let version = event["version"].as_u64().context("no version")?;
            let before = versions.insert(id, version);
            ensure!(before.is_none_or(|before| version == before + 1), "{before:?} before {version} of {event}");
            heard.events += 1;
        }
        thread::sleep(pause);
    }
    Ok(heard)
}

/// The load of [`write`], while others follow the changes.
fn load(server: &Server, bytes: u64, seed: u64) -> Result<Most> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let ended = &ended;
        let follow = |pause| scope.spawn(move || follow_changes(server, Duration::from_millis(pause), ended));
        let followers = PAUSES_MS.map(follow);
        let most = write(server, bytes, seed);
        // The last ones are on disk a second later.
        thread::sleep(Duration::from_millis(1500));
        ended.store(true, SeqCst);
        let heard = followers.map(|follower| follower.join().expect("a follower panicked"));
        println!("who follows has heard {heard:?}");
        let [prompt, slow] = heard;
        let (prompt, slow) = (prompt?, slow?);
        ensure!(prompt.events > 0 && slow.events > 0, "nothing was heard");
        most
    })
}

/// Has clients write so many bytes of documents at once, and looks what that takes meanwhile.
fn write(server: &Server, bytes: u64, seed: u64) -> Result<Most> {
    let left = Arc::new(AtomicU64::new(bytes / DOCUMENT_BYTES as u64));
    let start = |number: u64| -> Result<thread::JoinHandle<Result<()>>> {
        let (left, mut client) = (Arc::clone(&left), server.client()?);
        let mut random = Random::new(seed.wrapping_add(number));
        Ok(thread::spawn(move || {
            // Noise, which nothing can make smaller.
            while left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                let text = hex::encode(random.bytes(DOCUMENT_BYTES / 2));
                let id = random.below(DOCUMENTS).to_string();
                client.ask(&["DOC.SET", "d", &id, &format!(r#"{{"t":"{text}"}}"#)])?;
            }
            Ok(())
        }))
    };
    let writers: Vec<_> = (0..WRITERS).map(start).collect::<Result<_>>()?;
    let mut most = Most::default();
    while writers.iter().any(|writer| !writer.is_finished()) {
        most.look(server)?;
        thread::sleep(Duration::from_millis(10));
    }
    writers.into_iter().try_for_each(|writer| writer.join().expect("a writer panicked"))?;
    most.look(server)?;
    Ok(most)
}

/// A primary and a replica behind a proxy that take each other's silence for nothing.
fn pair() -> Result<(Server, Proxy, Server)> {
    // With huge pages a byte more may be 2 MiB more: without them what is held is what is seen.
    let primary = bounded(options()).environment("MIMALLOC_ALLOW_THP", "0").start()?;
    let proxy = Proxy::start(primary.port())?;
    let replica = bounded(options()).start()?;
    for server in [&primary, &replica] {
        server.client()?.ask(&["CONFIG", "SET", "repl-timeout", "3600"])?;
    }
    follow(&replica, proxy.port())?;
    until_in_step(&primary, &replica)?;
    Ok((primary, proxy, replica))
}

#[test]
fn a_replica_that_reads_nothing_costs_a_bounded_amount_of_disk_and_memory() -> Result<()> {
    let (seed, mib) = (seed(), setting("VEDDB_STALLED_MIB", 64));
    let (primary, proxy, replica) = pair()?;
    let before = load(&primary, mib * MIB, seed)?;
    until_in_step(&primary, &replica)?;
    let full = || primary.client()?.figure("stats", "sync_full");
    assert_eq!(full()?, "1");

    proxy.hold(true);
    let stalled = load(&primary, mib * MIB, seed + 1)?;
    println!("{mib} MiB written; in step: {before:?}, stalled: {stalled:?}");
    assert_eq!(figure(&primary, "connected_slaves")?, "1", "the link was not to end by itself");
    ensure!(stalled.log <= LOG_MOST, "{} bytes of log, {LOG_MOST} are allowed", stalled.log);
    // More was written than may be kept, so the bound was needed.
    ensure!(mib * MIB > 2 * LOG_MOST, "too little was written");
    // Old data are not held back for a replica that has all of its snapshot.
    let disk = before.disk * DISK_TIMES + LOG_MOST;
    ensure!(stalled.disk <= disk, "{} bytes of disk, {disk} are allowed", stalled.disk);
    let memory = before.resident + MEMORY_MOST + MEMORY_NOISE;
    ensure!(stalled.resident <= memory, "{} bytes are resident, {memory} are allowed", stalled.resident);

    proxy.hold(false);
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica)?;
    // What it had missed was no longer there.
    assert_eq!(full()?, "2");
    Ok(())
}

#[test]
fn messages_for_a_replica_that_reads_nothing_are_bounded() -> Result<()> {
    let (primary, proxy, replica) = pair()?;
    let mut client = primary.client()?;
    let mut most = Most::default();
    most.look(&primary)?;
    let before = most.resident;
    proxy.hold(true);
    let message = "m".repeat(MIB as usize);
    let dropped = || primary.log().contains("the replica does not read the messages that are published");
    let until = Instant::now() + PATIENCE;
    let mut published = 0;
    while !dropped() {
        ensure!(Instant::now() < until, "the replica was not cut off after {published} messages");
        client.ask(&["PUBLISH", "news", &message])?;
        published += 1;
        most.look(&primary)?;
    }
    println!("cut off after {published} MiB of messages; resident before {before}, most {}", most.resident);
    let memory = before + MEMORY_MOST + MEMORY_NOISE;
    ensure!(most.resident <= memory, "{} bytes are resident, {memory} are allowed", most.resident);
    // It comes again, and goes on where it stopped.
    proxy.hold(false);
    proxy.cut();
    client.ask(&["DOC.SET", "d", "1", "{}"])?;
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica).context("after the messages")
}
