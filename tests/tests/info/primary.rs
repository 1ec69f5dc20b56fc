//! The section replication as a primary shows it: who follows, how far they are, and what was sent to them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::{Client, Options, Proxy, Server, until};

use crate::Check;
use crate::persistence::unaudited;
use crate::replica::{follow, options, until_in_step};
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[
    ("followers", followers),
    ("synchronisations", synchronisations),
    ("hand-over", hand_over),
    ("terms", terms),
    ("rollback", rollback),
];

fn followers(seen: &mut Seen) -> Result<()> {
    let (primary, replica) = (options().start()?, options().start()?);
    let mut client = primary.client()?;
    client.ask(&["CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", "1"])?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "role", "master")?;
    seen.is(&info, "connected_slaves", 0)?;
    seen.is(&info, "min_slaves_good_slaves", 0)?;
    follow(&replica, primary.port())?;
    seen.comes(&mut client, "min_slaves_good_slaves", 1)?;
    for _ in 0..3 {
        client.ask(&["SET", "a", "x"])?;
    }
    until_in_step(&primary, &replica)?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "connected_slaves", 1)?;
    let (port, lsn) = (replica.port(), info.text("master_repl_offset")?);
    let start = format!("ip=127.0.0.1,port={port},state=online,offset={lsn},lag=");
    seen.holds(&info, "slave0", |text| text.starts_with(&start))?;
    seen.part_within(&info, "slave0", "lag", 0.0..=2.0)?;

    // One that stands still is behind by what is written meanwhile, and by the time since it was last heard of.
    let heard = Instant::now();
    replica.pause()?;
    let before = info.number("master_repl_offset")?;
    seen.comes(&mut client, "min_slaves_good_slaves", 0)?;
    client.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"])?;
    (0..5).try_for_each(|_| client.ask(&["SET", "a", "y"]).map(drop))?;
    thread::sleep(Duration::from_millis(1100));
    let info = seen.look(&mut client)?;
    // It says something once a second, the last time before it stood still.
    seen.part_within(&info, "slave0", "lag", 2.0..=heard.elapsed().as_secs_f64() + 2.0)?;
    let behind = info.number("master_repl_offset")? - info.part("slave0", "offset")?;
    ensure!(behind >= 5.0, "it is {behind} behind");
    ensure!(info.part("slave0", "offset")? >= before, "it was at {before} already");
    replica.resume()?;
    until_in_step(&primary, &replica)
}

fn synchronisations(seen: &mut Seen) -> Result<()> {
    let small = || options().set("log-segment-size", "1mb").set("repl-log-size", "1mb").set("changes-log-size", "0");
    let (primary, replica) =
        (small().set("maxmemory-writes", "1mb").set("appendfsync", "no").start()?, small().start()?);
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "x"])?;
    let proxy = Proxy::start(primary.port())?;
    follow(&replica, proxy.port())?;
    until_in_step(&primary, &replica)?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "sync_full", 1)?;
    seen.is(&info, "sync_partial_ok", 0)?;
    seen.is(&info, "sync_partial_err", 0)?;
    // Cut off for a moment it goes on where it was.
    for count in 1..=2 {
        proxy.cut();
        client.ask(&["SET", "a", "y"])?;
        let info = seen.comes(&mut client, "sync_partial_ok", count)?;
        seen.is(&info, "sync_full", 1)?;
    }
    // Cut off for long it cannot.
    proxy.refuse(true);
    proxy.cut();
    let large = "x".repeat(1_200_000);
    (0..12).try_for_each(|_| client.ask(&["SET", "large", &large]).map(drop))?;
    until("the log being trimmed", || {
        client.ask(&["SET", "large", &large])?;
        Ok(client.figure("persistence", "log_disk_bytes")?.parse::<u64>()? < 8_000_000)
    })?;
    proxy.refuse(false);
    let info = seen.comes(&mut client, "sync_full", 2)?;
    seen.is(&info, "sync_partial_err", 1)?;
    seen.is(&info, "sync_partial_ok", 2)?;
    until_in_step(&primary, &replica)?;
    client.ask(&["CONFIG", "RESETSTAT"])?;
    let info = seen.look(&mut client)?;
    for name in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        seen.is(&info, name, 0)?;
    }
    Ok(())
}

fn hand_over(seen: &mut Seen) -> Result<()> {
    let (primary, replica) = (options().start()?, options().start()?);
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "x"])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "master_failover_state", "no-failover")?;
    replica.pause()?;
    client.ask(&["SET", "a", "y"])?;
    client.ask(&["FAILOVER"])?;
    seen.comes(&mut client, "master_failover_state", "waiting-for-sync")?;
    client.ask(&["FAILOVER", "ABORT"])?;
    seen.comes(&mut client, "master_failover_state", "no-failover")?;
    replica.resume()?;
    until_in_step(&primary, &replica)
}

fn term(client: &mut Client) -> Result<u64> {
    Ok(u64::from_str_radix(&client.figure("replication", "term")?, 16)?)
}

fn terms(seen: &mut Seen) -> Result<()> {
    let (primary, replica) = (options().start()?, options().start()?);
    let (mut client, mut other) = (primary.client()?, replica.client()?);
    client.ask(&["SET", "a", "x"])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    let (one, two) = (seen.look(&mut client)?, seen.look(&mut other)?);
    // It is the same history at the same place.
    for name in ["history_id", "term", "master_replid", "master_repl_offset"] {
        seen.is(&two, name, one.text(name)?)?;
    }
    let id = one.text("history_id")?;
    ensure!(id.len() == 32 && one.text("master_replid")?.len() == 40, "{id}");
    let low = term(&mut client)? & 0xffff_ffff;
    seen.is(&one, "master_replid", format!("{id}{low:08x}"))?;
    seen.is(&one, "later_term_met", 0)?;

    // A promotion begins another term, of which the number in front is one more, by one unit.
    let before = term(&mut other)?;
    other.ask(&["REPLICAOF", "NO", "ONE"])?;
    let info = seen.look(&mut other)?;
    ensure!(term(&mut other)? >> 32 == (before >> 32) + 1, "no other term");
    seen.is(&info, "history_id", id)?;
    ensure!(info.text("master_replid")? != one.text("master_replid")?, "the same id after a promotion");
    seen.grew_by(&two, &info, "master_repl_offset", 1)?;
    seen.is(&info, "lsn_synced", info.text("master_repl_offset")?)?;

    // A third, of the later term, tells the one before of it.
    let third = options().start()?;
    follow(&third, replica.port())?;
    until_in_step(&replica, &third)?;
    follow(&third, primary.port())?;
    seen.comes(&mut client, "later_term_met", 1)?;
    Ok(())
}

fn rollback(seen: &mut Seen) -> Result<()> {
    let (mut primary, replica): (Server, Server) = (options().start()?, options().start()?);
    primary.client()?.ask(&["SET", "a", "x"])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    replica.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    for key in ["b", "c", "d"] {
        primary.client()?.ask(&["SET", key, "lost"])?;
    }
    replica.client()?.ask(&["SET", "e", "kept"])?;
    primary.kill()?;
    primary.restart()?;
    follow(&primary, replica.port())?;
    until_in_step(&replica, &primary)?;
    let info = seen.look(&mut primary.client()?)?;
    seen.is(&info, "rollback_files", 1)?;
    seen.is(&info, "rollback_units", 3)
}

/// Settings in which nobody is given up soon.
pub(crate) fn patient() -> Options {
    unaudited().set("repl-timeout", "600")
}
