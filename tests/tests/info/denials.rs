//! What stats says of who was refused, and of the audit log that says so as well.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Options, until};

use crate::Check;
use crate::authority::{Authority, Flaw, secured};
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] =
    &[("rights", rights), ("TLS", tls), ("rate limits", limits), ("audit log", audit), ("audit failure", failure)];

fn rights(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut user) = (server.client()?, server.client()?);
    admin.ask(&["ACL", "SETUSER", "ada", "on", ">secret", "+@all", "-flushall", "~mine*", "resetchannels", "&mine"])?;
    for _ in 0..2 {
        user.run(&["AUTH", "ada", "wrong"])?;
    }
    user.ask(&["AUTH", "ada", "secret"])?;
    for _ in 0..3 {
        user.run(&["FLUSHALL"])?;
    }
    for _ in 0..4 {
        user.run(&["GET", "yours"])?;
    }
    for _ in 0..5 {
        user.run(&["PUBLISH", "yours", "x"])?;
    }
    let info = seen.look(&mut admin)?;
    seen.is(&info, "acl_access_denied_auth", 2)?;
    seen.is(&info, "acl_access_denied_cmd", 3)?;
    seen.is(&info, "acl_access_denied_key", 4)?;
    seen.is(&info, "acl_access_denied_channel", 5)?;
    seen.part_is(&info, "errorstat_NOPERM", "count", 12)
}

fn tls(seen: &mut Seen) -> Result<()> {
    let ours = Authority::new("ours")?;
    ours.sign("nobody", 1, Flaw::None)?;
    let (server, port) = secured(&ours, "optional")?;
    let mut admin = server.client()?;
    admin.ask(&["CONFIG", "SET", "tls-auth-clients-user", "CN"])?;
    for _ in 0..3 {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        socket.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        // An alert, or just the end.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    seen.comes(&mut admin, "tls_handshakes_failed", 3)?;
    for _ in 0..2 {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "localhost", "-p", &port.to_string(), "--tls", "--cacert", &ours.path("ca.pem")]);
        let output = command.args(ours.shown("nobody")).arg("PING").output();
        let output = output.context("redis-cli is missing (Debian: redis-tools)")?;
        ensure!(output.stdout.starts_with(b"PONG"), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let info = seen.look(&mut admin)?;
    seen.is(&info, "acl_access_denied_tls_cert", 2)?;
    seen.is(&info, "tls_handshakes_failed", 3)
}

fn limits(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let (mut admin, mut other) = (server.client()?, server.client()?);
    admin.ask(&["CONFIG", "SET", "limit-user-bytes", "1000"])?;
    // A request that no bucket holds is let through when the bucket is full, and leaves it empty for long.
    let large = "x".repeat(100_000);
    let mut refused = 0;
    for _ in 0..5 {
        refused += u64::from(other.run(&["ECHO", &large])?.is_error("RATELIMIT"));
    }
    ensure!(refused >= 3, "{refused} were refused");
    // What mends it counts as well, where it is refused.
    until("the limit's end", || {
        let reply = admin.run(&["CONFIG", "SET", "limit-user-bytes", "0"])?;
        refused += u64::from(reply.is_error("RATELIMIT"));
        Ok(!reply.is_error("RATELIMIT"))
    })?;
    let info = seen.look(&mut admin)?;
    seen.is(&info, "rate_limited_requests", refused)?;
    seen.part_is(&info, "errorstat_RATELIMIT", "count", refused)?;

    admin.ask(&["CONFIG", "SET", "limit-address-connections", "1"])?;
    let mut refused = 0;
    for _ in 0..20 {
        let reply = server.client()?.run(&["PING"]);
        refused += u64::from(!matches!(reply, Ok(value) if value.text() == Some("PONG")));
    }
    ensure!(refused > 0, "all were let in");
    let info = seen.look(&mut admin)?;
    seen.is(&info, "rate_limited_connections", refused)?;
    seen.is(&info, "rejected_connections", refused)
}

fn audit(seen: &mut Seen) -> Result<()> {
    let server = Options::new().set("audit-events", "ddl").start()?;
    let mut client = server.client()?;
    let before = seen.look(&mut client)?;
    for name in ["a", "b", "c"] {
        client.ask(&["DOC.CREATE", name])?;
    }
    for name in ["a", "b"] {
        client.ask(&["DOC.DROP", name])?;
    }
    // Not of that kind.
    client.ask(&["SET", "a", "x"])?;
    let expected = before.number("audit_records_written")? + 5.0;
    let info = seen.comes_within(&mut client, "audit_records_written", expected..=expected)?;
    seen.is(&info, "audit_failing", 0)?;
    seen.is(&info, "audit_records_lost", 0)
}

/// A log whose directory is not there any more takes its last file's rest, and then nothing.
fn failure(seen: &mut Seen) -> Result<()> {
    let options = Options::new().set("audit-events", "ddl").set("audit-file-size", "64kb");
    let server = options.set("audit-on-failure", "continue").start()?;
    let mut client = server.client()?;
    client.ask(&["DOC.CREATE", "a"])?;
    until("a record", || Ok(client.figure("stats", "audit_records_written")? != "0"))?;
    let dir = server.dir().join("audit");
    fs::remove_dir_all(&dir)?;
    fs::write(&dir, "in its place")?;
    let mut asked = 1;
    until("its failing", || {
        client.run(&["DOC.CREATE", &format!("c{asked}")])?;
        asked += 1;
        Ok(client.figure("stats", "audit_failing")? == "1")
    })?;
    for _ in 0..4 {
        client.run(&["DOC.CREATE", &format!("c{asked}")])?;
        asked += 1;
    }
    // Of each that was asked there is a record, here or nowhere.
    until("all records being settled", || {
        let info = seen.look(&mut client)?;
        Ok(info.number("audit_records_written")? + info.number("audit_records_lost")? == f64::from(asked))
    })?;
    let info = seen.look(&mut client)?;
    seen.within(&info, "audit_records_lost", 5.0..=f64::from(asked))?;
    seen.is(&info, "audit_failing", 1)
}
