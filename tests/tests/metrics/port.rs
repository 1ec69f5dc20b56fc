//! `http-port` itself: what it answers, when it is ready, and what strangers can do to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use veddb_tests::Options;
use veddb_tests::http::{Scrape, get};

use super::watch::{Watched, until};

#[track_caller]
fn ready(watched: &Watched, status: u16, why: &str) -> Result<()> {
    let answer = get(watched.http, "/readyz")?;
    ensure!(answer.status == status && answer.body.starts_with(why), "{}: {}", answer.status, answer.body);
    Ok(())
}

#[test]
fn it_lives_and_is_ready() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    ensure!(get(watched.http, "/healthz")?.body == "ok\n", "/healthz");
    ready(&watched, 200, "ready\n")?;
    ensure!(get(watched.http, "/")?.status == 404, "/ is not there");
    ensure!(get(watched.http, "/metrics/../etc/passwd")?.status == 404, "nor is anything else");
    Ok(())
}

#[test]
fn a_disk_below_its_reserve_is_not_ready() -> Result<()> {
    let watched = Watched::start(Options::new().set("disk-reserve", "1000000000000000"))?;
    ensure!(get(watched.http, "/healthz")?.status == 200, "it lives");
    ready(&watched, 503, "disk: ")
}

#[test]
fn a_replica_without_its_primary_is_stale() -> Result<()> {
    let primary = Watched::start(Options::new().set("repl-ping-replica-period", "1"))?;
    let replica = Watched::start(Options::new().set("ready-max-lag", "3"))?;
    replica.server.client()?.ask(&["REPLICAOF", "127.0.0.1", &primary.server.port().to_string()])?;
    until("it is ready", || Ok(get(replica.http, "/readyz")?.status == 200))?;
    drop(primary);
    until("it is stale", || Ok(get(replica.http, "/readyz")?.body.starts_with("stale: ")))?;
    replica.server.client()?.ask(&["CONFIG", "SET", "ready-max-lag", "0"])?;
    ready(&replica, 200, "ready")
}

/// Who sends half a request, or nothing, or rubbish, is cut off, and others are answered meanwhile.
#[test]
fn bad_requests_disturb_nobody() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut idle: Vec<TcpStream> = Vec::new();
    for bytes in [&b""[..], b"GET /metrics HTTP/1.1\r\nHost:", b"GET "] {
        let mut socket = TcpStream::connect(("127.0.0.1", watched.http))?;
        socket.write_all(bytes)?;
        idle.push(socket);
    }
    for bytes in [&b"*1\r\n$4\r\nPING\r\n"[..], b"\0\0\0\0\r\n\r\n", &[b'x'; 100_000]] {
        let mut socket = TcpStream::connect(("127.0.0.1", watched.http))?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        // It may be closed before all was sent.
        let _ = socket.write_all(bytes);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        ensure!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    }
    ensure!(!Scrape::of(watched.http)?.kinds.is_empty(), "nothing is shown");
    // Half a request has ten seconds.
    for mut socket in idle.into_iter().skip(1) {
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let _ = socket.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// More connections than it has room for: those are closed, and what is there goes on.
#[test]
fn connections_are_bounded() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(("127.0.0.1", watched.http))?);
    }
    watched.server.client()?.ask(&["PING"])?;
    drop(held);
    until("it is answered again", || Ok(get(watched.http, "/healthz").is_ok_and(|answer| answer.status == 200)))
}

/// Without the setting there is no port.
#[test]
fn it_is_off_unless_set() -> Result<()> {
    let server = Options::new().start()?;
    let shown = server.client()?.ask(&["CONFIG", "GET", "http-port"])?;
    ensure!(shown.expect_array()[1].text() == Some("0"), "{shown}");
    Ok(())
}
