//! Links between servers through TLS: who is believed, who is not, and certificates that are renewed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Options, Server, Value, until};

use crate::authority::{Authority, Flaw, free_port};

/// A server that speaks TLS on links too, with the certificate `name` of `own`, and believes those of `trusted`.
fn linked(own: &Authority, name: &str, trusted: &Authority) -> Result<(Server, u16)> {
    let port = free_port()?;
    let options = Options::new().set("tls-port", port.to_string()).set("tls-replication", "yes");
    let options = options.set("tls-cert-file", own.path(&format!("{name}.pem")));
    let options = options.set("tls-key-file", own.path(&format!("{name}.key")));
    let options = options.set("tls-ca-cert-file", trusted.path("ca.pem"));
    let options = options.set("enable-debug-command", "yes").set("repl-timeout", "5");
    Ok((options.start()?, port))
}

fn figure(server: &Server, name: &str) -> Result<String> {
    server.client()?.figure("replication", name)
}

fn until_up(replica: &Server) -> Result<()> {
    until("the link being up", || Ok(figure(replica, "master_link_status").is_ok_and(|status| status == "up")))
        .with_context(|| replica.log())
}

/// Returns once the last attempt ended for this reason.
fn until_refused(replica: &Server, why: &str) -> Result<()> {
    let refused = until(why, || Ok(figure(replica, "master_link_error").is_ok_and(|error| error.contains(why))));
    refused.with_context(|| replica.log())?;
    ensure!(figure(replica, "master_link_status")? == "down", "the link is up");
    ensure!(replica.log().contains(why), "the log does not say {why}");
    Ok(())
}

fn follow(replica: &Server, host: &str, port: u16) -> Result<()> {
    replica.client()?.ask(&["REPLICAOF", host, &port.to_string()])?;
    Ok(())
}

fn writes_arrive(primary: &Server, replica: &Server, key: &str) -> Result<()> {
    primary.client()?.ask(&["SET", key, "v"])?;
    until("a write on the replica", || Ok(replica.client()?.ask(&["GET", key])?.text() == Some("v")))
}

#[test]
fn a_replica_follows_through_tls_and_each_shows_a_certificate() -> Result<()> {
    let ours = Authority::new("ours")?;
    for (name, serial) in [("one", 1), ("other", 2)] {
        ours.sign_as(name, serial, Flaw::None, &["localhost", "127.0.0.1"], |_| {})?;
    }
    // Where nothing else is said, whoever connects has to show a certificate: also a replica.
    let (primary, primary_port) = linked(&ours, "one", &ours)?;
    let (replica, replica_port) = linked(&ours, "other", &ours)?;
    // More than a record of TLS, and more than a chunk.
    let text = "x".repeat(3 << 20);
    primary.client()?.ask(&["SET", "large", &text])?;
    follow(&replica, "localhost", primary_port)?;
    until_up(&replica)?;
    writes_arrive(&primary, &replica, "a")?;
    let digest = |server: &Server| server.client()?.ask(&["DEBUG", "DIGEST"]);
    ensure!(digest(&primary)? == digest(&replica)?, "the two differ");
    // A message of more than is sent at once waits for nothing that comes after it.
    let mut listener = replica.client()?;
    listener.ask(&["SUBSCRIBE", "news"])?;
    primary.client()?.ask(&["PUBLISH", "news", &text])?;
    let message = listener.read()?;
    ensure!(message.expect_array().last().and_then(Value::text) == Some(&text), "another message came");
    // The primary knows it by the port that speaks TLS.
    let listed = figure(&primary, "slave0")?;
    ensure!(listed.contains(&format!("port={replica_port},")), "{listed}");

    // Handing over, and back by REPLICA.ADD: both connect, and both verify.
    primary.client()?.ask(&["FAILOVER", "TO", "127.0.0.1", &replica_port.to_string(), "TIMEOUT", "60000"])?;
    until_up(&primary)?;
    writes_arrive(&replica, &primary, "b")?;
    primary.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    primary.client()?.ask(&["REPLICA.ADD", "127.0.0.1", &replica_port.to_string()])?;
    until_up(&replica)?;
    writes_arrive(&primary, &replica, "c")
}

#[test]
fn who_is_not_the_primary_is_not_followed() -> Result<()> {
    let (ours, foreign) = (Authority::new("ours")?, Authority::new("foreign")?);
    ours.sign("client", 1, Flaw::None)?;
    ours.sign("good", 2, Flaw::None)?;
    ours.sign("expired", 3, Flaw::Expired)?;
    ours.sign_as("elsewhere", 4, Flaw::None, &["elsewhere.example"], |_| {})?;
    foreign.sign("foreign", 5, Flaw::None)?;
    let (replica, _) = linked(&ours, "client", &ours)?;
    replica.client()?.ask(&["CONFIG", "SET", "masterauth", "a secret of links"])?;
    replica.client()?.ask(&["SET", "own", "v"])?;
    for (whose, name, why) in [
        (&foreign, "foreign", "its certificate is of no CA in tls-ca-cert-file"),
        (&ours, "expired", "its certificate has expired"),
        (&ours, "elsewhere", "its certificate is for another name"),
    ] {
        let (primary, port) = linked(whose, name, &ours)?;
        follow(&replica, "localhost", port)?;
        until_refused(&replica, why)?;
        // It has not heard the password.
        let audited = primary.client()?.ask(&["AUDIT.TAIL", "100"])?;
        let is_auth = |record: &Value| record.expect_text().contains(r#""event":"auth""#);
        ensure!(!audited.expect_array().iter().any(is_auth), "{name} was given a password: {audited}");
        ensure!(replica.client()?.ask(&["GET", "own"])?.text() == Some("v"), "data are gone");
    }
    // By another name than its certificate's: the address is not in it.
    let (primary, port) = linked(&ours, "good", &ours)?;
    follow(&replica, "127.0.0.1", port)?;
    until_refused(&replica, "its certificate is for another name")?;
    // In the clear there is nobody to verify.
    follow(&replica, "localhost", primary.port())?;
    until("an error", || Ok(!figure(&replica, "master_link_error").unwrap_or_default().is_empty()))?;
    ensure!(figure(&replica, "master_link_status")? == "down", "a link in the clear is up");
    let asked = primary.client()?.run(&["REPLICA.ADD", "127.0.0.1", &port.to_string()])?;
    ensure!(asked.to_string().contains("its certificate is for another name"), "{asked}");
    Ok(())
}

#[test]
fn a_primary_refuses_a_replica_without_a_good_certificate() -> Result<()> {
    let (ours, foreign) = (Authority::new("ours")?, Authority::new("foreign")?);
    ours.sign("one", 1, Flaw::None)?;
    ours.sign("other", 2, Flaw::None)?;
    foreign.sign("stranger", 3, Flaw::None)?;
    let (primary, port) = linked(&ours, "one", &ours)?;
    // It believes the primary, but shows a certificate of another CA.
    let (replica, _) = linked(&foreign, "stranger", &ours)?;
    follow(&replica, "localhost", port)?;
    until_refused(&replica, "alert")?;
    ensure!(figure(&primary, "connected_slaves")? == "0", "the replica got in");
    // A certificate for links of its own, in place without a restart.
    let (cert, key) = (ours.path("other.pem"), ours.path("other.key"));
    replica.client()?.ask(&["CONFIG", "SET", "tls-client-cert-file", &cert, "tls-client-key-file", &key])?;
    until_up(&replica)?;
    writes_arrive(&primary, &replica, "a")
}

#[test]
fn no_replica_is_fed_in_the_clear() -> Result<()> {
    let ours = Authority::new("ours")?;
    ours.sign("one", 1, Flaw::None)?;
    let (primary, _) = linked(&ours, "one", &ours)?;
    primary.client()?.ask(&["SET", "secret", "v"])?;
    // One that was not told to speak TLS, and that could not.
    let replica = Options::new().start()?;
    follow(&replica, "127.0.0.1", primary.port())?;
    until_refused(&replica, "tls-replication is on here")?;
    ensure!(figure(&primary, "connected_slaves")? == "0", "the replica got in");
    ensure!(replica.client()?.ask(&["EXISTS", "secret"])?.expect_integer() == 0, "data came in the clear");
    primary.client()?.ask(&["CONFIG", "SET", "tls-replication", "no"])?;
    until_up(&replica)?;
    writes_arrive(&primary, &replica, "a")
}

#[test]
fn certificates_of_links_are_renewed_by_config_set() -> Result<()> {
    let (old, new) = (Authority::new("old")?, Authority::new("new")?);
    old.sign("one", 1, Flaw::None)?;
    old.sign("other", 2, Flaw::None)?;
    new.sign("one", 1, Flaw::None)?;
    new.sign("other", 2, Flaw::None)?;
    let (primary, port) = linked(&old, "one", &old)?;
    let (replica, _) = linked(&old, "other", &old)?;
    follow(&replica, "localhost", port)?;
    until_up(&replica)?;
    let renew = |server: &Server, name: &str| -> Result<()> {
        let (cert, key) = (new.path(&format!("{name}.pem")), new.path(&format!("{name}.key")));
        let ca = new.path("ca.pem");
        let all = ["CONFIG", "SET", "tls-cert-file", &cert, "tls-key-file", &key, "tls-ca-cert-file", &ca];
        server.client()?.ask(&all)?;
        Ok(())
    };
    let cut = || -> Result<()> {
        primary.client()?.ask(&["CLIENT", "KILL", "TYPE", "replica"])?;
        Ok(())
    };
    // The one that is there stays.
    renew(&primary, "one")?;
    writes_arrive(&primary, &replica, "a")?;
    cut()?;
    until_refused(&replica, "its certificate is of no CA in tls-ca-cert-file")?;
    renew(&replica, "other")?;
    until_up(&replica)?;
    writes_arrive(&primary, &replica, "b")?;
    // What cannot be read changes nothing.
    let refused = replica.client()?.run(&["CONFIG", "SET", "tls-client-cert-file", "/nowhere"])?;
    ensure!(refused.is_error("ERR"), "{refused}");
    cut()?;
    until_up(&replica)?;
    writes_arrive(&primary, &replica, "c")
}

#[test]
fn a_revoked_primary_is_not_followed() -> Result<()> {
    let ours = Authority::new("ours")?;
    ours.sign("one", 1, Flaw::None)?;
    ours.sign("other", 2, Flaw::None)?;
    ours.revoke(1, Duration::from_secs(24 * 3600))?;
    let (_primary, port) = linked(&ours, "one", &ours)?;
    let (replica, _) = linked(&ours, "other", &ours)?;
    replica.client()?.ask(&["CONFIG", "SET", "tls-crl-file", &ours.path("crl.pem")])?;
    follow(&replica, "localhost", port)?;
    until_refused(&replica, "its certificate was revoked")
}
