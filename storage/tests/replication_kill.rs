//! A replica that is killed while it is being made of an export, put in place, and carries out units: it goes on each time,
//! loses neither the old data before their time nor a unit after it, and ends equal to its primary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use common::writer::{Random, seed, unit, verify};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{ExportHeader, FollowError, FsyncPolicy, Options, Staging, Store, Units};

/// In the child: where the primary's files are.
const FEED: &str = "VEDDB_TEST_FEED";
/// In the child: the hash of the data that are to be replaced.
const OLD: &str = "VEDDB_TEST_OLD";

fn options(dir: &Path) -> Options {
    Options {
        write_memory_bytes: 200_000,
        index_memory_bytes: 100_000,
        log_segment_bytes: 30_000,
        fsync: FsyncPolicy::Always,
        ..Options::new(dir.join("data"))
    }
}

fn open(dir: &Path, replica: bool) -> Store {
    Store::open(Options { replica, ..options(dir) }, &MasterKeySource::Unnamed).unwrap()
}

fn content(store: &Store) -> String {
    store.content_hash().unwrap().1.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn numbered(feed: &Path, kind: &str, number: u64) -> PathBuf {
    feed.join(format!("{kind}.{number}"))
}

/// The replica's process: goes on with whatever is there until all is done. Says each step on a line.
fn child(feed: &Path) {
    let dir = feed.parent().unwrap().join("replica");
    let header: ExportHeader = serde_json::from_slice(&std::fs::read(feed.join("header")).unwrap()).unwrap();
    let options = Options { replica: true, ..options(&dir) };
    let store = open(&dir, true);
    let store = if store.position().history == header.position.history {
        store
    } else {
        assert_eq!(content(&store), std::env::var(OLD).unwrap(), "the old data are not whole");
        let resumed = Staging::resume(&options, &MasterKeySource::Unnamed).unwrap();
        let mut staging =
            resumed.unwrap_or_else(|| Staging::begin(&options, &MasterKeySource::Unnamed, &header).unwrap());
        println!("step staging from {}", staging.next_chunk());
        while let Ok(chunk) = std::fs::read(numbered(feed, "chunk", staging.next_chunk())) {
            staging.write(&chunk).unwrap();
            println!("step chunk");
        }
        let hash: [u8; 32] = std::fs::read(feed.join("hash")).unwrap().try_into().unwrap();
        let staged = staging.finish(hash).unwrap();
        println!("step staged");
        store.close();
        drop(store);
        println!("step closed");
        staged.install().unwrap();
        println!("step installed");
        open(&dir, true)
    };
    verify(&store);
    println!("step follows from {}", store.position().lsn);
    let (done, told) = channel();
    for number in 0.. {
        let Ok(bytes) = std::fs::read(numbered(feed, "units", number)) else { break };
        let units = Units::from_bytes(&bytes.into()).unwrap();
        let done = done.clone();
        assert!(store.apply(units, Box::new(move |outcome| done.send(outcome).unwrap())).is_ok());
        let position = told.recv().unwrap().unwrap();
        assert!(store.position_durable().lsn >= position.lsn);
        println!("step applied {}", position.lsn);
    }
    println!("step done");
}

/// Not a test by itself: what the other one starts and kills.
#[test]
fn as_child() {
    if let Some(feed) = std::env::var_os(FEED) {
        child(Path::new(&feed));
    }
}

#[test]
fn a_replica_goes_on_wherever_it_is_killed() {
    let mut random = Random(seed());
    let rounds: u64 = std::env::var("VEDDB_REPLICA_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let (mut kills, mut replicas) = (0, 0);
    while kills < rounds {
        kills += round(&mut random, rounds - kills);
        replicas += 1;
    }
    println!("{kills} kills, {replicas} replicas");
}

/// Makes one replica with up to so many kills; answers how many there were.
fn round(random: &mut Random, kills_max: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let feed = dir.path().join("feed");
    for name in ["feed", "primary", "replica"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    // Only the replica is killed.
    let unsynced = Options { fsync: FsyncPolicy::No, ..options(&dir.path().join("primary")) };
    let primary = Store::open(unsynced, &MasterKeySource::Unnamed).unwrap();
    for _ in 0..1200 {
        unit(&primary, random);
    }
    let mut export = primary.export().unwrap();
    std::fs::write(feed.join("header"), serde_json::to_vec(export.header()).unwrap()).unwrap();
    let mut number = 0;
    while let Some(chunk) = export.chunk(number).unwrap() {
        std::fs::write(numbered(&feed, "chunk", number), chunk).unwrap();
        number += 1;
    }
    std::fs::write(feed.join("hash"), export.hash().unwrap()).unwrap();
    let mut follower = primary.follow(export.header().position).unwrap();
    for _ in 0..200 {
        unit(&primary, random);
    }
    // Closed, so that nothing more comes; what it had stays to be compared.
    drop(export);
    primary.close();
    let mut number = 0;
    loop {
        match follower.next(5_000) {
            Ok(units) => std::fs::write(numbered(&feed, "units", number), units.unwrap().to_bytes()).unwrap(),
            Err(error) => {
                assert!(matches!(error, FollowError::Closed), "{error}");
                break;
            }
        }
        number += 1;
    }
    let replica = dir.path().join("replica");
    let old = {
        let store = open(&replica, false);
        for _ in 0..20 {
            unit(&store, random);
        }
        store.set_replica(true);
        let old = content(&store);
        store.close();
        old
    };
    let mut kills = 0;
    loop {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "as_child", "--nocapture"])
            .env(FEED, &feed)
            .env(OLD, &old)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let steps = 1 + random.below(if kills < 3 { 8 } else { 60 });
        let mut seen = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for line in lines.by_ref().filter(|line| line.starts_with("step")) {
            seen.push(line);
            if kills < kills_max && seen.len() as u64 == steps {
                // Anywhere on the way to the next step.
                (0..random.below(2_000)).for_each(|_| std::thread::yield_now());
                let _ = child.kill();
                kills += 1;
                break;
            }
        }
        // It may have been done before the signal came.
        seen.extend(lines.filter(|line| line.starts_with("step")));
        let status = child.wait().unwrap();
        if seen.last().is_some_and(|line| line == "step done") {
            break;
        }
        assert!(status.code().is_none(), "it ended by itself after {seen:?}");
    }
    let store = open(&replica, true);
    assert_eq!(store.position(), primary.position());
    assert_eq!(store.content_hash().unwrap(), primary.content_hash().unwrap());
    verify(&store);
    kills
}
