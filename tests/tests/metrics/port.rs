//! `http-port` itself: what it answers to whom, and what strangers can do to it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use veddb_tests::http::{Scrape, get, get_as};
use veddb_tests::{Client, Options};

use super::ready::ready;
use super::watch::{Watched, until};

#[test]
fn it_lives_and_is_ready() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    ensure!(get(watched.http(), "/healthz")?.body == "ok\n", "/healthz");
    ready(&watched, 200, "ready\n")?;
    ensure!(get(watched.http(), "/")?.status == 404, "/ is not there");
    ensure!(get(watched.http(), "/metrics/../etc/passwd")?.status == 404, "nor is anything else");
    Ok(())
}

/// Who sends half a request, or nothing, or rubbish, is cut off, and others are answered meanwhile.
#[test]
fn bad_requests_disturb_nobody() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut idle: Vec<TcpStream> = Vec::new();
    for bytes in [&b""[..], b"GET /metrics HTTP/1.1\r\nHost:", b"GET "] {
        let mut socket = TcpStream::connect(("127.0.0.1", watched.http()))?;
        socket.write_all(bytes)?;
        idle.push(socket);
    }
    for bytes in [&b"*1\r\n$4\r\nPING\r\n"[..], b"\0\0\0\0\r\n\r\n", &[b'x'; 100_000]] {
        let mut socket = TcpStream::connect(("127.0.0.1", watched.http()))?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        // It may be closed before all was sent.
        let _ = socket.write_all(bytes);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        ensure!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    }
    ensure!(!Scrape::of(watched.http())?.kinds.is_empty(), "nothing is shown");
    // Half a request has ten seconds, and so has none at all.
    for mut socket in idle {
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        socket.read_to_end(&mut Vec::new()).context("it was to be closed")?;
    }
    Ok(())
}

/// A connection that was answered, and stays.
fn admitted(port: u16) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\nok\n") {
        socket.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    Ok(socket)
}

/// More connections than it has room for: those are told and closed, and what is there goes on.
#[test]
fn connections_are_bounded() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let held: Vec<TcpStream> = (0..128).map(|_| admitted(watched.http())).collect::<Result<_>>()?;
    let mut surplus = TcpStream::connect(("127.0.0.1", watched.http()))?;
    surplus.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut told = String::new();
    surplus.read_to_string(&mut told)?;
    ensure!(told.starts_with("HTTP/1.1 503"), "{told:?}");
    watched.server.client()?.ask(&["PING"])?;
    drop(held);
    until("it is answered again", || Ok(get(watched.http(), "/healthz").is_ok_and(|answer| answer.status == 200)))
}

/// However many ask, the figures are read five times a second at most, and each is told of a moment after it asked.
#[test]
fn figures_are_read_now_and_then() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    watched.scrape()?;
    let began = Instant::now();
    for _ in 0..10 {
        watched.scrape()?;
    }
    ensure!(began.elapsed() >= Duration::from_millis(10 * 200), "{:?} for 10 readings", began.elapsed());
    Ok(())
}

/// A page whose name was made to lead to this machine asks by that name.
#[test]
fn other_names_are_not_answered_on_this_machine() -> Result<()> {
    let watched = Watched::start(Options::new())?;
    for path in ["/metrics", "/healthz", "/readyz"] {
        ensure!(get_as("127.0.0.1", watched.http(), "evil.example:80", path)?.status == 421, "{path}");
        ensure!(get_as("127.0.0.1", watched.http(), "LOCALHOST:9121", path)?.status == 200, "{path}");
    }
    Ok(())
}

/// `bind` is of the other ports: whoever opens those to others has not opened this one.
#[test]
fn it_listens_where_http_bind_says() -> Result<()> {
    let watched = Watched::start(Options::new().set("bind", "127.0.0.1 127.0.0.2"))?;
    Client::connect_to("127.0.0.2", watched.server.port())?.ask(&["PING"])?;
    ensure!(get(watched.http(), "/healthz")?.status == 200);
    ensure!(TcpStream::connect(("127.0.0.2", watched.http())).is_err(), "it listens where bind says");
    let watched = Watched::start(Options::new().set("http-bind", "127.0.0.2"))?;
    ensure!(get_as("127.0.0.2", watched.http(), "127.0.0.2", "/healthz")?.status == 200);
    ensure!(TcpStream::connect(("127.0.0.1", watched.http())).is_err(), "it listens elsewhere");
    Ok(())
}

/// Who watches a machine from outside is told whether it lives; what it holds only where there is a password.
#[test]
fn other_machines_are_shown_no_figures_without_a_password() -> Result<()> {
    // The address that this machine has for others. Nothing is sent.
    let outside = UdpSocket::bind("0.0.0.0:0")?;
    if let Err(error) = outside.connect("192.0.2.1:9") {
        println!("skipped: this machine has no address but its own: {error}");
        return Ok(());
    }
    let address = outside.local_addr()?.ip().to_string();
    let watched = Watched::start(Options::new().set("http-bind", "*"))?;
    let status = |path: &str| Ok::<_, anyhow::Error>(get_as(&address, watched.http(), "veddb.example", path)?.status);
    ensure!([status("/healthz")?, status("/readyz")?, status("/metrics")?] == [200, 200, 403]);
    watched.server.client()?.ask(&["CONFIG", "SET", "requirepass", "secret"])?;
    ensure!(status("/metrics")? == 200, "there is a password");
    Ok(())
}

/// Without the setting there is no port.
#[test]
fn it_is_off_unless_set() -> Result<()> {
    let server = Options::new().start()?;
    let shown = server.client()?.ask(&["CONFIG", "GET", "http-port"])?;
    ensure!(shown.expect_array()[1].text() == Some("0"), "{shown}");
    Ok(())
}
