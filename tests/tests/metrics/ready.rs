//! `/readyz` of replicas: whoever sends requests by it must not be sent to data that are none, or of any age.

use anyhow::{Result, ensure};
use veddb_tests::http::get;
use veddb_tests::{Options, Proxy, SmallDisk};

use super::replication::{follow, in_step, options};
use super::watch::{Watched, may_skip, until};

#[track_caller]
pub(crate) fn ready(watched: &Watched, status: u16, why: &str) -> Result<()> {
    let answer = get(watched.http(), "/readyz")?;
    ensure!(answer.status == status && answer.body.starts_with(why), "{}: {}", answer.status, answer.body);
    Ok(())
}

fn until_ready(watched: &Watched, status: u16, why: &str) -> Result<()> {
    until(&format!("{status} {why}"), || Ok(ready(watched, status, why).is_ok()))
}

/// A primary with a key, whose name it has.
fn primary(name: &str) -> Result<Watched> {
    let primary = Watched::start(options())?;
    primary.server.client()?.ask(&["SET", name, "1"])?;
    Ok(primary)
}

#[test]
fn a_replica_without_its_primary_is_stale() -> Result<()> {
    let (primary, replica) = (primary("a")?, Watched::start(options().set("ready-max-lag", "3"))?);
    ready(&replica, 200, "ready")?;
    follow(&replica, primary.server.port())?;
    until("the link is up", || Ok(replica.scrape()?.get("veddb_primary_link_up", &[]) == Some(1.0)))?;
    until_ready(&replica, 200, "ready")?;
    drop(primary);
    until_ready(&replica, 503, "stale: ")?;
    // Who takes data of any age is given them.
    replica.server.client()?.ask(&["CONFIG", "SET", "ready-max-lag", "0"])?;
    ready(&replica, 200, "ready")
}

#[test]
fn a_replica_is_not_ready_before_it_has_the_data() -> Result<()> {
    let (primary, replica) = (primary("a")?, Watched::start(options())?);
    let mut client = primary.server.client()?;
    for at in 0..40 {
        client.ask(&["SET", &at.to_string(), &"x".repeat(1 << 20)])?;
    }
    let proxy = Proxy::start(primary.server.port())?;
    follow(&replica, proxy.port())?;
    until("a part of the snapshot has come", || Ok(proxy.passed() > 4 << 20))?;
    proxy.hold(true);
    until_ready(&replica, 503, "sync: ")?;
    ensure!(get(replica.http(), "/healthz")?.status == 200, "it lives");
    proxy.hold(false);
    in_step(&primary, &replica)?;
    until_ready(&replica, 200, "ready")
}

/// Its primary says something every half second: that it refuses.
#[test]
fn a_replica_that_is_refused_is_not_ready() -> Result<()> {
    let (own, foreign) = (primary("a")?, primary("b")?);
    let proxy = Proxy::start(foreign.server.port())?;
    let replica = Watched::start(options().set("ready-max-lag", "2"))?;
    replica.server.client()?.ask(&["SET", "c", "1"])?;
    follow(&replica, proxy.port())?;
    let refused = |watched: &Watched| -> Result<()> {
        let before = proxy.connections();
        until("it was refused again", || Ok(proxy.connections() > before + 3))?;
        let why = watched.server.client()?.figure("replication", "master_link_error")?;
        ensure!(why.contains("another history"), "{why}");
        Ok(())
    };
    refused(&replica)?;
    ready(&replica, 503, "behind: ")?;
    // Nor does one stay ready that was in step once.
    proxy.set_target(own.server.port());
    replica.server.client()?.ask(&["REPLICAOF", "127.0.0.1", &proxy.port().to_string(), "FORCE"])?;
    in_step(&own, &replica)?;
    until_ready(&replica, 200, "ready")?;
    proxy.set_target(foreign.server.port());
    proxy.cut();
    until_ready(&replica, 503, "stale: ")?;
    refused(&replica)?;
    ready(&replica, 503, "stale: ")?;
    let heard = replica.scrape()?.get("veddb_primary_silent_seconds", &[]);
    ensure!(heard.is_some_and(|seconds| seconds < 2.0), "it was to hear of it: {heard:?}");
    Ok(())
}

/// Nobody knows after a start how old the data are.
#[test]
fn a_replica_that_starts_alone_is_not_ready() -> Result<()> {
    let primary = primary("a")?;
    let proxy = Proxy::start(primary.server.port())?;
    let mut replica = Watched::start(options().set("replicaof", format!("127.0.0.1 {}", proxy.port())))?;
    in_step(&primary, &replica)?;
    until_ready(&replica, 200, "ready")?;
    replica.server.stop()?;
    proxy.set_target(1);
    replica.server.restart()?;
    ready(&replica, 503, "behind: ")?;
    proxy.set_target(primary.server.port());
    until_ready(&replica, 200, "ready")
}

#[test]
fn a_replica_that_refuses_to_answer_is_not_ready() -> Result<()> {
    let settings = options().set("replica-serve-stale-data", "no").set("ready-max-lag", "0");
    let (primary, replica) = (primary("a")?, Watched::start(settings)?);
    follow(&replica, primary.server.port())?;
    in_step(&primary, &replica)?;
    until_ready(&replica, 200, "ready")?;
    drop(primary);
    until_ready(&replica, 503, "refusing: ")?;
    let answer = replica.server.client()?.run(&["GET", "a"])?;
    ensure!(answer.is_error("MASTERDOWN"), "{answer}");
    Ok(())
}

#[test]
fn a_disk_below_its_reserve_is_not_ready() -> Result<()> {
    let watched = Watched::start(Options::new().set("disk-reserve", "1000000000000000"))?;
    ensure!(get(watched.http(), "/healthz")?.status == 200, "it lives");
    ready(&watched, 503, "disk: ")
}

/// What is still to be written counts as well: writes are refused while more than the reserve is free. And who is sent no writes since it is
/// not ready sees by itself that there is room again.
#[test]
fn a_disk_without_room_for_what_is_in_memory_is_not_ready() -> Result<()> {
    let options = Options::new().set("disk-reserve", "100mb").set("maxmemory-writes", "1gb").http();
    let Some((disk, server)) = SmallDisk::start("250m", options)? else { return may_skip("tmpfs") };
    let watched = Watched { server };
    ready(&watched, 200, "ready")?;
    let mut client = watched.server.client()?;
    let text = "x".repeat(1 << 20);
    let refused =
        (0..200).find(|at| client.run(&["SET", &at.to_string(), &text]).is_ok_and(|said| said.is_error("NOSPACE")));
    ensure!(refused.is_some(), "nothing was refused");
    ready(&watched, 503, "disk: ")?;
    let scrape = watched.scrape()?;
    ensure!(scrape.get("veddb_is_out_of_space", &[]) == Some(1.0));
    let free = scrape.get("veddb_disk_free_bytes", &[]);
    ensure!(free > scrape.get("veddb_disk_reserve_bytes", &[]), "{free:?} is less than the reserve");
    disk.resize("600m")?;
    until_ready(&watched, 200, "ready")?;
    client.ask(&["SET", "k", "v"])?;
    Ok(())
}
