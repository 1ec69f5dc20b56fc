//! The section replication as a replica shows it: its link to the primary, while it is up, while a snapshot comes, and while it is
//! down.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::proxy::{Fault, From, Plan};
use veddb_tests::{Options, Proxy, Server, until};

use crate::Check;
use crate::persistence::unaudited;
use crate::primary::patient;
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[("link", link), ("snapshot", snapshot)];

/// Settings of the servers here.
pub(crate) fn options() -> Options {
    unaudited().set("repl-timeout", "60").set("repl-ping-replica-period", "1")
}

/// Has a server follow what listens on this port.
pub(crate) fn follow(replica: &Server, port: u16) -> Result<()> {
    replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &port.to_string()])?;
    Ok(())
}

/// Returns once the replica's link is up and it has all that the primary has.
pub(crate) fn until_in_step(primary: &Server, replica: &Server) -> Result<()> {
    until("being in step", || {
        let (mut ahead, mut behind) = (primary.client()?, replica.client()?);
        let up = behind.figure("replication", "master_link_status").is_ok_and(|status| status == "up");
        let offsets =
            (ahead.figure("replication", "master_repl_offset")?, behind.figure("replication", "slave_repl_offset")?);
        Ok(up && offsets.0 == offsets.1)
    })
}

fn link(seen: &mut Seen) -> Result<()> {
    let mut primary = patient().set("repl-ping-replica-period", "600").start()?;
    let replica = patient().set("replica-priority", "42").start()?;
    let (mut ahead, mut client) = (primary.client()?, replica.client()?);
    ahead.ask(&["SET", "a", "x"])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    let before = seen.look(&mut client)?;
    seen.is(&before, "role", "slave")?;
    seen.is(&before, "master_host", "127.0.0.1")?;
    seen.is(&before, "master_port", primary.port())?;
    seen.is(&before, "master_link_status", "up")?;
    seen.is(&before, "master_sync_in_progress", 0)?;
    seen.is(&before, "slave_priority", 42)?;
    seen.is(&before, "replica_announced", 1)?;
    client.ask(&["CONFIG", "SET", "replica-announced", "no"])?;
    let info = seen.look(&mut client)?;
    seen.is(&info, "replica_announced", 0)?;
    ensure!(client.run(&["SET", "a", "y"])?.is_error("READONLY"));
    seen.is(&before, "slave_read_only", 1)?;

    (0..7).try_for_each(|_| ahead.ask(&["SET", "a", "y"]).map(drop))?;
    let written = Instant::now();
    until_in_step(&primary, &replica)?;
    let after = seen.look(&mut client)?;
    for name in ["slave_repl_offset", "slave_read_repl_offset", "master_repl_offset"] {
        seen.grew_by(&before, &after, name, 7)?;
        seen.is(&after, name, ahead.figure("replication", "master_repl_offset")?)?;
    }
    // Nothing comes any more: the primary has nothing to say for long.
    let in_step = Instant::now();
    thread::sleep(Duration::from_millis(2100));
    let least = in_step.elapsed().as_secs() as f64;
    let info = seen.look(&mut client)?;
    seen.within(&info, "master_last_io_seconds_ago", least..=written.elapsed().as_secs_f64())?;

    let before = Instant::now();
    primary.kill()?;
    let info = seen.comes(&mut client, "master_link_status", "down")?;
    let down = Instant::now();
    seen.is(&info, "master_last_io_seconds_ago", -1)?;
    thread::sleep(Duration::from_millis(2100));
    let least = down.elapsed().as_secs() as f64;
    let info = seen.look(&mut client)?;
    seen.within(&info, "master_link_down_since_seconds", least..=before.elapsed().as_secs_f64())?;
    seen.holds(&info, "master_link_error", |text| text.contains("refused"))
}

/// A snapshot that does not come to its end.
fn snapshot(seen: &mut Seen) -> Result<()> {
    const DOCUMENTS: usize = 20;
    // A small batch is on the replica's disk soon, and what is there need not come again.
    let (primary, replica) = (patient().start()?, patient().set("maxmemory-writes", "2mb").start()?);
    let (mut ahead, mut client) = (primary.client()?, replica.client()?);
    for at in 0..DOCUMENTS {
        let fill = "x".repeat(1 << 20);
        ahead.ask(&["DOC.SET", "c", &at.to_string(), &format!(r#"{{"n":"{fill}"}}"#)])?;
    }
    let proxy = Proxy::start(primary.port())?;
    // Half of it, with what the two say to each other before.
    let mib = f64::from(1 << 20);
    let half = DOCUMENTS as f64 / 2.0 * mib;
    proxy.plan(Plan { from: From::Server, after_bytes: half as u64, fault: Fault::HalfOpen });
    let begun = Instant::now();
    follow(&replica, proxy.port())?;
    // What has come of it is in pieces of about a mebibyte.
    let info = seen.comes_within(&mut client, "master_sync_read_bytes", half - 2.5 * mib..=half)?;
    let stalled = Instant::now();
    let all = DOCUMENTS as f64 * mib;
    seen.is(&info, "master_sync_in_progress", 1)?;
    seen.within(&info, "master_sync_total_bytes", all..=all * 1.01)?;
    let (total, read) = (info.number("master_sync_total_bytes")?, info.number("master_sync_read_bytes")?);
    seen.is(&info, "master_sync_left_bytes", total - read)?;
    seen.is(&info, "master_sync_perc", format!("{:.2}", read * 100.0 / total))?;
    seen.holds(&info, "master_link_status", |text| text == "down")?;
    thread::sleep(Duration::from_millis(2100));
    let least = stalled.elapsed().as_secs() as f64 - 1.0;
    let info = seen.look(&mut client)?;
    seen.within(&info, "master_sync_last_io_seconds_ago", least..=begun.elapsed().as_secs_f64())?;
    let one = seen.look(&mut ahead)?;
    seen.holds(&one, "slave0", |text| text.contains("state=send_bulk"))?;
    seen.is(&one, "sync_full", 1)?;

    // It goes on with what it has: that is no other one, and no byte of it counts twice.
    proxy.cut();
    until_in_step(&primary, &replica)?;
    let one = seen.look(&mut ahead)?;
    seen.is(&one, "sync_full", 1)
}
