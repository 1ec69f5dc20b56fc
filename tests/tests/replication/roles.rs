//! Promotions, divergence, handing over, waiting for replicas, and what is asked of them by name.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Proxy, Random, Server, Value, seed};

use super::load::write;
use super::pair::{catalog, ensure_equal, figure, follow, options, until, until_in_step};

fn pair() -> Result<(Server, Server)> {
    let (primary, replica) = (options().start()?, options().start()?);
    primary.client()?.ask(&["SET", "a", "1"])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    Ok((primary, replica))
}

#[test]
fn waiting_counts_replicas_that_have_it_on_disk() -> Result<()> {
    let (primary, replica) = pair()?;
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "2"])?;
    assert_eq!(client.ask(&["WAIT", "1", "0"])?, Value::Integer(1));
    client.ask(&["SET", "a", "3"])?;
    assert_eq!(client.ask(&["WAITAOF", "1", "1", "0"])?.to_string(), "[\n  :1\n  :1\n]");
    // One that syncs by itself only when it likes is told to.
    replica.client()?.ask(&["CONFIG", "SET", "appendfsync", "no"])?;
    client.ask(&["SET", "a", "4"])?;
    assert_eq!(client.ask(&["WAIT", "1", "0"])?, Value::Integer(1));
    assert_eq!(client.ask(&["WAIT", "2", "20"])?, Value::Integer(1));
    assert_eq!(replica.client()?.ask(&["GET", "a"])?.expect_text(), "4");
    Ok(())
}

#[test]
fn a_primary_with_too_few_replicas_takes_no_writes() -> Result<()> {
    let (primary, mut replica) = pair()?;
    let mut client = primary.client()?;
    client.ask(&["CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", "2"])?;
    client.ask(&["SET", "a", "2"])?;
    replica.kill()?;
    until("the replica being missed", || Ok(matches!(client.run(&["SET", "a", "3"])?, Value::Error(_))))?;
    assert!(client.run(&["SET", "a", "3"])?.to_string().contains("NOREPLICAS"));
    Ok(())
}

#[test]
fn what_only_the_old_primary_has_goes_to_a_file() -> Result<()> {
    let (mut primary, replica) = pair()?;
    let mut random = Random::new(seed());
    write(&mut primary.client()?, &mut random, 100)?;
    // The end of a failed build is a unit of its own.
    until("all builds being over", || Ok(!catalog(&primary)?.contains("building")))?;
    until_in_step(&primary, &replica)?;
    // Cut off from each other.
    replica.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    primary.client()?.ask(&["DOC.SET", "lost", "1", r#"{"only":"here"}"#])?;
    primary.client()?.ask(&["SET", "lost", "2"])?;
    replica.client()?.ask(&["SET", "kept", "1"])?;
    primary.kill()?;
    primary.restart()?;
    follow(&primary, replica.port())?;
    until_in_step(&replica, &primary)?;
    ensure_equal(&replica, &primary)?;
    assert_eq!((figure(&primary, "rollback_files")?, figure(&primary, "rollback_units")?), ("1".into(), "2".into()));
    let file = std::fs::read_dir(primary.dir().join("rollback"))?.next().context("no file")??.path();
    let bytes = std::fs::read(&file)?;
    assert!(!bytes.windows(4).any(|four| four == b"only"), "the file is not sealed");
    let mut command = std::process::Command::new(veddb_tests::server::binary()?);
    let shown = command.args(["rollback", "show"]).arg(&file).output()?;
    let shown = String::from_utf8(shown.stdout)?;
    let lines: Vec<serde_json::Value> = shown.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(lines.iter().any(|line| line["coll"] == "lost" && line["id"] == "1"), "{shown}");
    Ok(())
}

/// A snapshot that was asked for before the primary's data became others: nothing of the own is gone without a trace.
#[test]
fn what_a_primary_from_a_backup_lacks_goes_to_a_file() -> Result<()> {
    let (mut primary, replica) = (options().start()?, options().start()?);
    primary.client()?.ask(&["SET", "a", "1"])?;
    let proxy = Proxy::start(primary.port())?;
    follow(&replica, proxy.port())?;
    until_in_step(&primary, &replica)?;
    primary.stop()?;
    let (data, backup) = (primary.dir(), primary.home().path().join("backup"));
    copy(&data, &backup)?;
    primary.restart()?;
    proxy.set_target(primary.port());
    primary.client()?.ask(&["SET", "lost", "2"])?;
    until_in_step(&primary, &replica)?;
    // It is to read all anew, and does not come to it.
    proxy.refuse(true);
    primary.client()?.ask(&["REPLICA.SYNC", "ALL"])?;
    until("the link being down", || Ok(figure(&replica, "master_link_status")? == "down"))?;
    primary.kill()?;
    std::fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    primary.restart()?;
    primary.client()?.ask(&["SET", "other", "3"])?;
    proxy.set_target(primary.port());
    proxy.refuse(false);
    until("the snapshot", || Ok(primary.client()?.figure("stats", "sync_full")? == "1"))?;
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica)?;
    assert_eq!((figure(&replica, "rollback_files")?, figure(&replica, "rollback_units")?), ("1".into(), "1".into()));
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "{} cannot be copied", from.display());
    Ok(())
}

#[test]
fn whoever_meets_a_later_term_takes_no_writes() -> Result<()> {
    let (primary, replica) = pair()?;
    let third = options().start()?;
    follow(&third, replica.port())?;
    until_in_step(&replica, &third)?;
    replica.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    replica.client()?.ask(&["SET", "b", "1"])?;
    until_in_step(&replica, &third)?;
    // It has the term of the new primary, and is told to follow the old one.
    follow(&third, primary.port())?;
    until("being deposed", || Ok(figure(&primary, "later_term_met")? == "1"))?;
    assert!(primary.client()?.run(&["SET", "a", "2"])?.to_string().contains("READONLY"));
    follow(&third, replica.port())?;
    follow(&primary, replica.port())?;
    for follower in [&primary, &third] {
        until_in_step(&replica, follower)?;
        ensure_equal(&replica, follower)?;
    }
    Ok(())
}

#[test]
fn a_promotion_can_be_taken_back() -> Result<()> {
    let (primary, replica) = pair()?;
    replica.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    replica.client()?.ask(&["SET", "b", "1"])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    primary.client()?.ask(&["SET", "a", "2"])?;
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica)
}

#[test]
fn handing_over_loses_nothing() -> Result<()> {
    let (mut primary, mut replica) = pair()?;
    for round in 0..3 {
        let mut client = primary.client()?;
        client.ask(&["SET", "round", &round.to_string()])?;
        client.ask(&["FAILOVER", "TO", "127.0.0.1", &replica.port().to_string(), "TIMEOUT", "30000"])?;
        until("the end of it", || {
            let over = figure(&primary, "master_failover_state")? == "no-failover";
            Ok(over && figure(&replica, "role")? == "master" && figure(&primary, "role")? == "slave")
        })?;
        std::mem::swap(&mut primary, &mut replica);
        until_in_step(&primary, &replica)?;
        assert_eq!(primary.client()?.ask(&["GET", "round"])?.expect_text(), round.to_string());
        ensure_equal(&primary, &replica)?;
    }
    Ok(())
}

#[test]
fn replicas_are_told_by_name() -> Result<()> {
    let (primary, replica) = (options().start()?, options().start()?);
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "1"])?;
    client.ask(&["REPLICA.ADD", "127.0.0.1", &replica.port().to_string()])?;
    until_in_step(&primary, &replica)?;
    let syncs = |client: &mut veddb_tests::Client| client.figure("stats", "sync_full");
    assert_eq!(syncs(&mut client)?, "1");
    assert_eq!(client.ask(&["REPLICA.SYNC", "ALL"])?, Value::Integer(1));
    until("a second snapshot", || Ok(syncs(&mut client)? == "2"))?;
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica)?;
    let listed = client.ask(&["REPLICA.LIST"])?;
    let Value::Array(listed) = listed else { panic!("{listed}") };
    let id = listed.first().and_then(|one| one.get("id")).context("no id")?.expect_integer();
    assert_eq!(client.ask(&["REPLICA.REMOVE", &id.to_string()])?, Value::Integer(1));
    until("being by itself", || Ok(figure(&replica, "role")? == "master"))?;
    Ok(())
}

#[test]
fn the_role_is_kept_over_a_restart() -> Result<()> {
    let home = std::sync::Arc::new(tempfile::tempdir()?);
    let primary = options().start()?;
    let file = home.path().join("veddb.conf");
    std::fs::write(&file, "# mine\n")?;
    let mut replica = veddb_tests::Options::new().file(&file).start()?;
    follow(&replica, primary.port())?;
    replica.client()?.ask(&["CONFIG", "REWRITE"])?;
    replica.stop()?;
    replica.restart()?;
    assert_eq!(figure(&replica, "role")?, "slave");
    until_in_step(&primary, &replica)
}

#[test]
fn a_change_is_told_once_on_a_replica() -> Result<()> {
    let (primary, replica) = pair()?;
    for server in [&primary, &replica] {
        server.client()?.ask(&["CONFIG", "SET", "notify-doc-events", "yes"])?;
    }
    let mut listener = replica.client()?;
    listener.ask(&["SUBSCRIBE", "__doc@told__"])?;
    let mut client = primary.client()?;
    for version in ["1", "2", "3"] {
        client.ask(&["DOC.SET", "told", "1", "{}"])?;
        let told = listener.read()?;
        let text = told.expect_array().last().context("a message")?.expect_text();
        assert!(text.contains(&format!("\"version\":{version}")), "{text}");
    }
    until_in_step(&primary, &replica)?;
    client.ask(&["PUBLISH", "__doc@told__", "the end"])?;
    let last = listener.read()?.to_string();
    assert!(last.contains("the end"), "{last}");
    Ok(())
}
