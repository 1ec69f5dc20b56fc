//! Tokens on replicas: what a primary issues is good there, what it revokes is good there no more.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::{Client, Options, Server};

use super::jwt::{gets_in, part};

/// How long a replica may take to catch up with all else that goes on on the machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a token may be good at a replica after it was revoked.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

fn until_in_step(primary: &Server, replica: &Server) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (mut ahead, mut behind) = (primary.client()?, replica.client()?);
        let up = behind.figure("replication", "master_link_status").is_ok_and(|status| status == "up");
        if up
            && ahead.figure("replication", "master_repl_offset")?
                == behind.figure("replication", "slave_repl_offset")?
        {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the replica does not catch up: {}", behind.info("replication")?);
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns once what a replica has been sent is in force there.
fn until_good(replica: &Server, token: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !gets_in(replica.port(), "ada", token)? {
        ensure!(Instant::now() < deadline, "the token is not good at the replica; log:\n{}", replica.log());
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn what_is_revoked_is_revoked_on_replicas_within_a_second_and_for_good() -> Result<()> {
    let options = || Options::new().set("repl-timeout", "2").set("repl-ping-replica-period", "1");
    let (mut primary, mut replica) = (options().start()?, options().start()?);
    let mut admin = primary.client()?;
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all", "~*"])?;
    let issue = |admin: &mut Client| -> Result<String> {
        Ok(admin.ask(&["TOKEN.ISSUE", "USER", "ada"])?.expect_text().to_owned())
    };
    let number = |token: &str| part(token, 1).map(|claims| claims["jti"].as_str().unwrap_or_default().to_owned());
    // One from before the replica's snapshot, two that the log brings.
    let before = issue(&mut admin)?;
    replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
    until_in_step(&primary, &replica)?;
    let (first, kept) = (issue(&mut admin)?, issue(&mut admin)?);
    for token in [&before, &first, &kept] {
        until_good(&replica, token)?;
    }
    let refused = replica.client()?.run(&["TOKEN.ISSUE"])?;
    ensure!(refused.is_error("READONLY"), "a replica issues tokens: {refused}");
    ensure!(replica.client()?.run(&["TOKEN.REVOKE", &number(&first)?])?.is_error("READONLY"), "a replica revokes");
    ensure!(replica.client()?.run(&["TOKEN.ROTATE"])?.is_error("READONLY"), "a replica makes keys");

    for token in [&before, &first] {
        let mut inside = Client::connect(replica.port())?;
        inside.ask(&["AUTH", "ada", token])?;
        inside.ask(&["MULTI"])?;
        ensure!(admin.ask(&["TOKEN.REVOKE", &number(token)?])?.expect_integer() == 1, "not revoked");
        let revoked = Instant::now();
        ensure!(inside.read_to_end()?.is_empty(), "who is in at the replica was answered");
        ensure!(revoked.elapsed() < REVOKED_WITHIN, "it took {:?}", revoked.elapsed());
        ensure!(!gets_in(replica.port(), "ada", token)?, "a revoked token is good at the replica");
    }

    primary.kill()?;
    replica.kill()?;
    replica.restart_there()?;
    ensure!(!gets_in(replica.port(), "ada", &first)?, "a restart of the replica makes a revoked token good");
    ensure!(gets_in(replica.port(), "ada", &kept)?, "a restart of the replica loses a good token");
    primary.restart_there()?;
    for server in [&primary, &replica] {
        ensure!(!gets_in(server.port(), "ada", &first)?, "restarts make a revoked token good");
        ensure!(gets_in(server.port(), "ada", &kept)?, "restarts lose a good token");
    }
    // The replica has all that it needs to take over: also what tokens are signed with.
    let mut promoted = replica.client()?;
    promoted.ask(&["REPLICAOF", "NO", "ONE"])?;
    let new = issue(&mut promoted)?;
    ensure!(part(&new, 0)?["kid"] == part(&kept, 0)?["kid"], "the promoted replica signs with another key");
    ensure!(
        gets_in(replica.port(), "ada", &new)? && gets_in(replica.port(), "ada", &kept)?,
        "not good after the promotion"
    );
    ensure!(promoted.ask(&["TOKEN.REVOKE", "USER", "ada"])?.expect_integer() == 2, "not all are known");
    Ok(())
}
