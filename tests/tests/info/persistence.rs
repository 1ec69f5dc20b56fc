//! The section persistence: the log's units and bytes by writes of a known number and size, and the files as they lie there.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use veddb_tests::{Options, request, until};

use crate::Check;
use crate::replica::{follow, until_in_step};
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] =
    &[("log", log), ("checkpoints", checkpoints), ("replay", replay), ("loading", loading)];

/// Settings in which only what a test writes is in the log: the end of the audit log is noted there as well.
pub(crate) fn unaudited() -> Options {
    Options::new().set("audit-events", "")
}

/// Bytes of all files below.
fn size(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}

fn log(seen: &mut Seen) -> Result<()> {
    const WRITES: u64 = 20;
    const BYTES: usize = 10_000;
    let server = unaudited().start()?;
    let mut client = server.client()?;
    client.ask(&["SET", "a", "x"])?;
    let before = seen.look(&mut client)?;
    let mut random = veddb_tests::Random::new(veddb_tests::seed());
    for _ in 0..WRITES {
        // Of random digits, so that nothing makes it shorter.
        let text: String = (0..BYTES / 16).map(|_| format!("{:016x}", random.number())).collect();
        client.ask(&["SET", "a", &text])?;
    }
    let after = seen.look(&mut client)?;
    for name in ["log_lsn_written", "log_lsn_durable", "commit_groups", "commit_units", "master_repl_offset"] {
        seen.grew_by(&before, &after, name, WRITES)?;
    }
    seen.is(&after, "lsn_synced", after.text("log_lsn_written")?)?;
    let bytes = (WRITES * BYTES as u64) as f64;
    seen.grew(&before, &after, "log_bytes_written", bytes..=bytes * 1.1)?;
    seen.is(&after, "log_disk_bytes", size(&server.dir().join("log"))?)?;
    seen.is(&after, "aof_current_size", size(&server.dir().join("log"))?)?;
    seen.is(&after, "aof_enabled", 1)?;
    // The engine counts its tables and journals, not its small files of names and versions.
    let engine = size(&server.dir().join("kv"))? as f64;
    seen.within(&after, "engine_disk_bytes", engine * 0.95..=engine)?;

    // A pipeline of writes is committed in groups, of one unit each.
    let writes: Vec<_> = (0..100).map(|_| vec!["SET", "a", "y"]).collect();
    client.pipeline(&writes)?;
    let last = seen.look(&mut client)?;
    seen.grew_by(&after, &last, "commit_units", 100)?;
    seen.grew(&after, &last, "commit_groups", 1.0..=99.0)?;

    // What is not synced yet is written.
    client.ask(&["CONFIG", "SET", "appendfsync", "no"])?;
    client.ask(&["SET", "a", "z"])?;
    let ahead = seen.look(&mut client)?;
    seen.grew_by(&last, &ahead, "log_lsn_written", 1)?;
    seen.grew(&last, &ahead, "log_lsn_durable", 0.0..=1.0)?;
    seen.is(&ahead, "loading", 0)
}

fn checkpoints(seen: &mut Seen) -> Result<()> {
    let server = unaudited().set("maxmemory-writes", "1mb").start()?;
    let mut client = server.client()?;
    client.ask(&["SET", "a", "x"])?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "checkpoints", 0)?;
    seen.is(&info, "log_lsn_applied", 0)?;
    // Each is more than is held without one.
    let large = "x".repeat(1_200_000);
    for at in 1..=3 {
        client.ask(&["SET", "large", &large])?;
        let info = seen.comes(&mut client, "checkpoints", at)?;
        seen.is(&info, "log_lsn_applied", info.text("log_lsn_written")?)?;
    }
    let info = seen.look(&mut client)?;
    let engine = size(&server.dir().join("kv"))? as f64;
    seen.within(&info, "engine_disk_bytes", engine * 0.95..=engine)
}

fn replay(seen: &mut Seen) -> Result<()> {
    let mut server = unaudited().start()?;
    let mut client = server.client()?;
    client.ask(&["SET", "a", "x"])?;
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "replayed_units", 0)?;
    for at in 0..9 {
        client.ask(&["SET", "a", &at.to_string()])?;
    }
    server.kill()?;
    server.restart()?;
    let info = seen.look(&mut server.client()?)?;
    seen.is(&info, "replayed_units", 9)
}

/// While a replica's data are replaced: as long as somebody reads those that were there.
fn loading(seen: &mut Seen) -> Result<()> {
    let options = || Options::new().set("repl-timeout", "20");
    let (primary, replica) = (options().start()?, options().start()?);
    let mut client = primary.client()?;
    client.ask(&["SET", "large", &"x".repeat(1 << 20)])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    let mut holding = replica.client()?;
    holding.send(&(0..400).flat_map(|_| request(&["GET", "large"])).collect::<Vec<u8>>())?;
    until("its being stuck", || Ok(replica.client()?.ask(&["CLIENT", "LIST"])?.to_string().contains("cmd=get")))?;
    let over = AtomicBool::new(false);
    let loaded = thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<bool> {
            let (mut asking, mut found) = (replica.client()?, false);
            while !over.load(SeqCst) {
                found |= seen.look(&mut asking).and_then(|info| seen.is(&info, "loading", 1)).is_ok();
            }
            Ok(found)
        });
        client.ask(&["REPLICA.SYNC", "ALL"])?;
        until("the second snapshot", || Ok(client.figure("stats", "sync_full")? == "2"))?;
        until_in_step(&primary, &replica)?;
        over.store(true, SeqCst);
        asking.join().map_err(|_| anyhow!("who asks has panicked"))?
    })?;
    ensure!(loaded, "nobody saw the data being replaced");
    Ok(())
}
