//! Replicas and links: what a primary knows of who follows it, and a replica of whom it follows.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Proxy};

use super::watch::{Check, Seen, Watched, run, until};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        of: &[
            "veddb_is_replica",
            "veddb_replicas",
            "veddb_replica_online",
            "veddb_replica_lag_units",
            "veddb_replica_unsynced_units",
            "veddb_replica_silent_seconds",
            "veddb_replica_synchronisations_total",
            "veddb_primary_link_up",
            "veddb_primary_silent_seconds",
            "veddb_primary_lag_seconds",
            "veddb_primary_lag_units",
        ],
        run: pair,
    },
    Check { of: &["veddb_primary_snapshot_bytes", "veddb_primary_snapshot_read_bytes"], run: snapshot },
    Check { of: &["veddb_rollbacks_total", "veddb_rolled_back_units_total", "veddb_is_deposed"], run: apart },
];

#[test]
fn what_replicas_did_is_read_back() -> Result<()> {
    run(CHECKS)
}

pub(crate) fn options() -> Options {
    Options::new().set("repl-ping-replica-period", "1")
}

pub(crate) fn follow(replica: &Watched, port: u16) -> Result<()> {
    replica.server.client()?.ask(&["REPLICAOF", "127.0.0.1", &port.to_string()])?;
    Ok(())
}

pub(crate) fn in_step(primary: &Watched, replica: &Watched) -> Result<()> {
    until("being in step", || {
        let figure = |server: &Watched, name| server.server.client()?.figure("replication", name);
        let is_up = figure(replica, "master_link_status")? == "up";
        Ok(is_up && figure(primary, "master_repl_offset")? == figure(replica, "slave_repl_offset")?)
    })
}

fn pair(seen: &Seen) -> Result<()> {
    let (primary, replica) = (Watched::start(options())?, Watched::start(options())?);
    let mut client = primary.server.client()?;
    client.ask(&["SET", "first", "1"])?;
    seen.is(&replica.scrape()?, "veddb_is_replica", &[], 0.0)?;
    follow(&replica, primary.server.port())?;
    in_step(&primary, &replica)?;
    let address = format!("127.0.0.1:{}", replica.server.port());
    let labels = [("replica", address.as_str())];
    seen.is(&replica.scrape()?, "veddb_is_replica", &[], 1.0)?;
    seen.is(&primary.scrape()?, "veddb_is_replica", &[], 0.0)?;
    seen.is(&primary.scrape()?, "veddb_replicas", &[], 1.0)?;
    for (kind, count) in [("full", 1.0), ("partial", 0.0), ("refused", 0.0)] {
        seen.is(&primary.scrape()?, "veddb_replica_synchronisations_total", &[("kind", kind)], count)?;
    }
    seen.comes_to(&primary, "veddb_replica_online", &labels, 1.0, 1.0)?;
    for name in ["veddb_replica_lag_units", "veddb_replica_unsynced_units"] {
        seen.comes_to(&primary, name, &labels, 0.0, 0.0)?;
    }
    // While it stands still it lacks what is written, and nothing is heard of it.
    replica.server.pause()?;
    for _ in 0..50 {
        client.ask(&["INCR", "n"])?;
    }
    seen.is(&primary.scrape()?, "veddb_replica_lag_units", &labels, 50.0)?;
    seen.is(&primary.scrape()?, "veddb_replica_unsynced_units", &labels, 50.0)?;
    seen.comes_to(&primary, "veddb_replica_silent_seconds", &labels, 2.0, 60.0)?;
    replica.server.resume()?;
    in_step(&primary, &replica)?;
    seen.comes_to(&primary, "veddb_replica_lag_units", &labels, 0.0, 0.0)?;
    seen.comes_to(&primary, "veddb_replica_silent_seconds", &labels, 0.0, 1.0)?;
    // The same from the other side.
    seen.is(&replica.scrape()?, "veddb_primary_link_up", &[], 1.0)?;
    seen.comes_to(&replica, "veddb_primary_lag_units", &[], 0.0, 0.0)?;
    seen.comes_to(&replica, "veddb_primary_silent_seconds", &[], 0.0, 1.5)?;
    primary.server.pause()?;
    seen.comes_to(&replica, "veddb_primary_silent_seconds", &[], 2.0, 60.0)?;
    seen.comes_to(&replica, "veddb_primary_lag_seconds", &[], 2.0, 60.0)?;
    primary.server.resume()?;
    seen.comes_to(&replica, "veddb_primary_lag_seconds", &[], 0.0, 1.5)?;
    // While there is always something on its way, at times a scrape sees it.
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<()> {
            let increments: Vec<Vec<&str>> = (0..500).map(|_| vec!["INCR", "n"]).collect();
            while !enough.load(SeqCst) {
                client.pipeline(&increments)?;
            }
            Ok(())
        });
        let found = seen.comes_to(&replica, "veddb_primary_lag_units", &[], 1.0, 1e6);
        enough.store(true, SeqCst);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        found
    })?;
    seen.comes_to(&replica, "veddb_primary_lag_units", &[], 0.0, 0.0)?;
    drop(primary);
    seen.comes_to(&replica, "veddb_primary_link_up", &[], 0.0, 0.0)?;
    ensure!(replica.scrape()?.get("veddb_primary_lag_units", &[]).is_none(), "nobody knows how far the primary is");
    Ok(())
}

/// A replica that comes again before its last connection is known to be gone.
#[test]
fn two_feeds_of_one_replica_are_one_series() -> Result<()> {
    let primary = Watched::start(options())?;
    let mut client = primary.server.client()?;
    client.ask(&["SET", "first", "1"])?;
    let (history, term) = (client.figure("replication", "history_id")?, client.figure("replication", "term")?);
    let (term, lsn) =
        (u64::from_str_radix(&term, 16)?.to_string(), client.figure("replication", "master_repl_offset")?);
    let id = "0123456789012345678901234567890123456789";
    let mut feeds: Vec<Client> = (0..2).map(|_| primary.server.client()).collect::<Result<_>>()?;
    for feed in &mut feeds {
        feed.ask(&["REPLICA.FOLLOW", "1", id, "10.0.0.7", "6380", &history, &term, &lsn])?;
    }
    until("both follow", || Ok(primary.scrape()?.get("veddb_replicas", &[]) == Some(2.0)))?;
    // Scrape::read would refuse a series that is there twice.
    let shown = primary.scrape()?;
    ensure!(shown.get("veddb_replica_online", &[("replica", "10.0.0.7:6380")]) == Some(0.0), "it is shown");
    ensure!(shown.all("veddb_replica_online").count() == 1, "it is shown twice");
    Ok(())
}

fn snapshot(seen: &Seen) -> Result<()> {
    let (primary, replica) = (Watched::start(options())?, Watched::start(options())?);
    let mut client = primary.server.client()?;
    for at in 0..40 {
        client.ask(&["SET", &at.to_string(), &"x".repeat(1 << 20)])?;
    }
    let proxy = Proxy::start(primary.server.port())?;
    follow(&replica, proxy.port())?;
    until("a part of the snapshot has come", || Ok(proxy.passed() > 4 << 20))?;
    proxy.hold(true);
    // What is on its way still comes; then it stands.
    let read =
        |watched: &Watched| Ok::<_, anyhow::Error>(watched.scrape()?.get("veddb_primary_snapshot_read_bytes", &[]));
    let mut last = read(&replica)?;
    until("it stands", || {
        let before = std::mem::replace(&mut last, read(&replica)?);
        Ok(last.is_some() && before == last)
    })?;
    let scrape = replica.scrape()?;
    let passed = proxy.passed() as f64;
    seen.within(&scrape, "veddb_primary_snapshot_read_bytes", &[], 1.0, passed)?;
    // Who gets a snapshot does not lag: it has nothing of which that could be said.
    let told = primary.scrape()?;
    for name in ["veddb_replica_lag_units", "veddb_replica_unsynced_units"] {
        ensure!(told.all(name).next().is_none(), "{name} is shown");
    }
    ensure!(scrape.get("veddb_primary_lag_units", &[]).is_none(), "the replica's own lag is shown");
    seen.within(&scrape, "veddb_primary_snapshot_bytes", &[], 40.0 * f64::from(1 << 20), 60.0 * f64::from(1 << 20))?;
    proxy.hold(false);
    in_step(&primary, &replica)?;
    ensure!(read(&replica)?.is_none(), "there is a snapshot still");
    Ok(())
}

fn apart(seen: &Seen) -> Result<()> {
    let (first, mut second) = (Watched::start(options())?, Watched::start(options())?);
    first.server.client()?.ask(&["SET", "k", "v"])?;
    follow(&second, first.server.port())?;
    in_step(&first, &second)?;
    // Both write alone, and the earlier one follows then: its four units go to a file.
    second.server.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    let write = |watched: &Watched, count: u32| -> Result<()> {
        let mut client = watched.server.client()?;
        (0..count).try_for_each(|_| client.ask(&["INCR", "n"]).map(drop))
    };
    write(&first, 4)?;
    write(&second, 3)?;
    let before = first.scrape()?;
    follow(&first, second.server.port())?;
    in_step(&second, &first)?;
    let after = first.scrape()?;
    seen.grew(&before, &after, "veddb_rollbacks_total", &[], 1.0)?;
    seen.grew(&before, &after, "veddb_rolled_back_units_total", &[], 4.0)?;
    // A primary of a later term that asks to follow an earlier one deposes it. After a restart the promotion is not its own to give up.
    first.server.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    seen.is(&second.scrape()?, "veddb_is_deposed", &[], 0.0)?;
    let port = second.server.port();
    let mut first = first;
    first.server.stop()?;
    first.server.restart()?;
    follow(&first, port)?;
    seen.comes_to(&second, "veddb_is_deposed", &[], 1.0, 1.0)?;
    second.server.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    seen.comes_to(&second, "veddb_is_deposed", &[], 0.0, 0.0)?;
    second.server.stop().context("it stops")
}
