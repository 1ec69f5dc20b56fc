//! Connections, what they hold and send, what cuts them off, queues; and what the process takes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use veddb_tests::http::get;
use veddb_tests::{Client, Options, Value, request};

use super::watch::{Check, PATIENCE, Seen, Watched, run, until};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        of: &["veddb_connections", "veddb_connections_received_total", "veddb_connection_memory_bytes"],
        run: connections,
    },
    Check { of: &["veddb_connections_limit", "veddb_connections_rejected_total"], run: door },
    Check { of: &["veddb_connections_blocked", "veddb_watched_names"], run: waiting },
    Check { of: &["veddb_connections_cut_off_total"], run: cut_off },
    Check { of: &["veddb_tls_handshakes_failed_total"], run: handshakes },
    Check { of: &["veddb_network_input_bytes_total", "veddb_network_output_bytes_total"], run: bytes },
    Check {
        of: &["veddb_queue_length", "veddb_queue_limit", "veddb_queue_bytes", "veddb_queue_limit_bytes"],
        run: queues,
    },
    Check { of: &["veddb_long_reads", "veddb_long_reads_limit"], run: long_reads },
    Check { of: &["veddb_is_loading"], run: loading },
    Check {
        of: &[
            "veddb_build_info",
            "veddb_start_timestamp_seconds",
            "veddb_process_cpu_seconds_total",
            "veddb_process_threads",
            "veddb_process_open_files",
            "veddb_process_open_files_limit",
            "veddb_process_anonymous_memory_bytes",
            "veddb_process_resident_memory_bytes",
            "veddb_process_resident_memory_peak_bytes",
        ],
        run: process,
    },
    Check { of: &["veddb_memory_limit_bytes", "veddb_is_out_of_memory"], run: memory },
];

#[test]
fn what_connections_did_is_read_back() -> Result<()> {
    run(CHECKS)
}

fn connections(seen: &Seen) -> Result<()> {
    const CONNECTIONS: &str = "veddb_connections";
    let watched = Watched::start(Options::new())?;
    let mut first = watched.server.client()?;
    first.ask(&["PING"])?;
    // The harness's own connection is gone by now, or it is not.
    until("one connection", || Ok(watched.scrape()?.get(CONNECTIONS, &[("class", "normal")]) == Some(1.0)))?;
    let before = watched.scrape()?;
    let mut others: Vec<Client> = (0..4).map(|_| watched.server.client()).collect::<Result<_>>()?;
    others[0].ask(&["SUBSCRIBE", "news"])?;
    others[1].ask(&["MONITOR"])?;
    others[2].ask(&["PING"])?;
    // Half a request is held.
    others[3].send(format!("*2\r\n$4\r\nECHO\r\n$2000000\r\n{}", "x".repeat(1_000_000)).as_bytes())?;
    let memory = |low: f64, high: f64| {
        seen.comes_to(&watched, "veddb_connection_memory_bytes", &[("class", "normal")], low, high)
    };
    memory(1_000_000.0, 4_000_000.0)?;
    let after = watched.scrape()?;
    for (class, by) in [("normal", 2.0), ("pubsub", 1.0), ("monitor", 1.0), ("replica", 0.0)] {
        seen.grew(&before, &after, CONNECTIONS, &[("class", class)], by)?;
    }
    seen.grew(&before, &after, "veddb_connections_received_total", &[], 4.0)?;
    // Whoever was answered holds nothing of its request, and whoever does not read its answer holds all of that.
    others[3].send("x".repeat(1_000_000).as_bytes())?;
    others[3].send(b"\r\n")?;
    others[3].read()?;
    memory(0.0, 900_000.0)?;
    first.ask(&["SET", "large", &"x".repeat(30_000_000)])?;
    others[3].send(&request(&["GET", "large"]))?;
    memory(20_000_000.0, 80_000_000.0)?;
    drop(others);
    seen.comes_to(&watched, CONNECTIONS, &[("class", "normal")], 1.0, 1.0)?;
    memory(0.0, 900_000.0)
}

fn door(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    client.ask(&["CONFIG", "SET", "maxclients", "1"])?;
    until("one connection", || Ok(client.figure("clients", "connected_clients")? == "1"))?;
    let before = watched.scrape()?;
    seen.is(&before, "veddb_connections_limit", &[], 1.0)?;
    for _ in 0..3 {
        let mut turned_away = Client::connect(watched.server.port())?;
        ensure!(turned_away.read()?.is_error("ERR"), "it was let in");
    }
    seen.grew(&before, &watched.scrape()?, "veddb_connections_rejected_total", &[], 3.0)
}

fn waiting(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let (mut one, mut other) = (watched.server.client()?, watched.server.client()?);
    one.ask(&["WATCH", "a", "b", "c"])?;
    other.send(&request(&["WAIT", "1", "0"]))?;
    seen.comes_to(&watched, "veddb_connections_blocked", &[], 1.0, 1.0)?;
    seen.is(&watched.scrape()?, "veddb_watched_names", &[], 3.0)?;
    one.ask(&["UNWATCH"])?;
    seen.is(&watched.scrape()?, "veddb_watched_names", &[], 0.0)
}

fn cut_off(seen: &Seen) -> Result<()> {
    const NAME: &str = "veddb_connections_cut_off_total";
    let options = Options::new().set("client-query-buffer-limit", "1mb");
    let watched = Watched::start(options.set("client-output-buffer-limit", "normal 1mb 0 0"))?;
    let mut client = watched.server.client()?;
    let text = "x".repeat(600_000);
    client.ask(&["SET", "k", &text])?;
    let before = watched.scrape()?;
    client.send(&request(&["MGET", "k", "k"]))?;
    client.read_to_end()?;
    let mut client = watched.server.client()?;
    // It may be cut off before all was sent.
    let _ = client.send(&request(&["ECHO", &"x".repeat(3_000_000)]));
    let _ = client.read_to_end();
    until("both are counted", || {
        let after = watched.scrape()?;
        Ok(["input", "output"].iter().all(|buffer| after.get(NAME, &[("buffer", buffer)]) == Some(1.0)))
    })?;
    for buffer in ["input", "output"] {
        seen.grew(&before, &watched.scrape()?, NAME, &[("buffer", buffer)], 1.0)?;
    }
    Ok(())
}

fn handshakes(seen: &Seen) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let folder = tempfile::tempdir()?;
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    fs::write(&cert, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (watched, tls_port) = secured(&cert, &key)?;
    let before = watched.scrape()?;
    for _ in 0..2 {
        let mut socket = TcpStream::connect(("127.0.0.1", tls_port))?;
        socket.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        let _ = socket.read_to_end(&mut Vec::new());
    }
    const NAME: &str = "veddb_tls_handshakes_failed_total";
    seen.comes_to(&watched, NAME, &[], 2.0, 2.0)?;
    seen.grew(&before, &watched.scrape()?, NAME, &[], 2.0)
}

/// A server with a `tls-port`. Should another process take that between its choice and the start, the next attempt has another.
fn secured(cert: &Path, key: &Path) -> Result<(Watched, u16)> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let options = Options::new().set("tls-port", port.to_string()).set("tls-auth-clients", "no");
        match Watched::start(options.set("tls-cert-file", cert).set("tls-key-file", key)) {
            Err(_) if attempt < 5 => {}
            started => return Ok((started?, port)),
        }
    }
}

fn bytes(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    client.ask(&["PING"])?;
    let before = watched.scrape()?;
    let echo = request(&["ECHO", "0123456789"]);
    for _ in 0..10 {
        client.send(&echo)?;
        client.read()?;
    }
    // What was sent is counted once it is.
    let sent = 10.0 * "$10\r\n0123456789\r\n".len() as f64;
    let was = before.get("veddb_network_output_bytes_total", &[]).context("bytes")?;
    seen.comes_to(&watched, "veddb_network_output_bytes_total", &[], was + sent, was + sent)?;
    let after = watched.scrape()?;
    seen.grew(&before, &after, "veddb_network_input_bytes_total", &[], 10.0 * echo.len() as f64)
}

fn queues(seen: &Seen) -> Result<()> {
    let (length, limit) = ("veddb_queue_length", "veddb_queue_limit");
    let watched = Watched::start(Options::new().set("client-output-buffer-limit", "pubsub 100mb 0 0"))?;
    let mut client = watched.server.client()?;
    let first = watched.scrape()?;
    for (queue, most) in [("commit", 1024.0), ("audit", 1024.0), ("apply", 64.0)] {
        seen.is(&first, limit, &[("queue", queue)], most)?;
        seen.is(&first, length, &[("queue", queue)], 0.0)?;
    }
    for (queue, most) in [("pubsub", f64::from(100 << 20)), ("replica", f64::from(32 << 20))] {
        seen.is(&first, "veddb_queue_limit_bytes", &[("queue", queue)], most)?;
        seen.is(&first, "veddb_queue_bytes", &[("queue", queue)], 0.0)?;
    }
    // A subscriber that does not read: what does not fit the sockets waits here.
    let mut deaf = watched.server.client()?;
    deaf.ask(&["SUBSCRIBE", "news"])?;
    let text = "x".repeat(1 << 20);
    for _ in 0..40 {
        client.ask(&["PUBLISH", "news", &text])?;
    }
    seen.comes_to(&watched, "veddb_queue_bytes", &[("queue", "pubsub")], f64::from(20 << 20), f64::from(41 << 20))?;
    drop(deaf);
    // Eight connections have no more than eight groups on their way, and at times some.
    let until_end = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = watched.server.client()?;
                    while Instant::now() < until_end {
                        client.ask(&["INCR", "n"])?;
                        if client.ask(&["EXISTS", "enough"])? == Value::Integer(1) {
                            break;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let found = seen.comes_to(&watched, length, &[("queue", "commit")], 1.0, 8.0);
        client.ask(&["SET", "enough", "1"])?;
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)?;
        found
    })
}

/// Five reads that take long share three threads, until their clients are gone.
fn long_reads(seen: &Seen) -> Result<()> {
    const NAME: &str = "veddb_long_reads";
    let watched = Watched::start(Options::new().set("io-threads", "3"))?;
    let mut client = watched.server.client()?;
    seen.is(&watched.scrape()?, "veddb_long_reads_limit", &[], 3.0)?;
    let documents: Vec<String> = (0..3000).map(|at| format!(r#"{{"_id":{at},"n":{at}}}"#)).collect();
    for some in documents.chunks(500) {
        let mut insert = vec!["DOC.INSERT", "c"];
        insert.extend(some.iter().map(String::as_str));
        client.ask(&insert)?;
    }
    let join = r#"[{"$lookup":{"from":"c","let":{"n":"$n"},"pipeline":[{"$match":{"$expr":{"$gt":[{"$add":["$n","$$n"]},-1]}}}],"as":"a"}},{"$count":"k"}]"#;
    let mut asking: Vec<Client> = (0..5).map(|_| watched.server.client()).collect::<Result<_>>()?;
    asking.iter_mut().try_for_each(|client| client.send(&request(&["DOC.AGGREGATE", "c", join])))?;
    until("two wait", || {
        let scrape = watched.scrape()?;
        let told = |state| scrape.get(NAME, &[("state", state)]);
        Ok(told("running") == Some(3.0) && told("waiting") == Some(2.0))
    })?;
    let scrape = watched.scrape()?;
    seen.within(&scrape, NAME, &[("state", "running")], 1.0, 3.0)?;
    seen.within(&scrape, NAME, &[("state", "waiting")], 0.0, 2.0)?;
    drop(asking);
    for state in ["running", "waiting"] {
        seen.comes_to(&watched, NAME, &[("state", state)], 0.0, 0.0)?;
    }
    Ok(())
}

/// The start waits for its users to be written, into a pipe: it is scraped meanwhile, and not ready.
fn loading(seen: &Seen) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pipe = folder.path().join("users");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
    let mut watched = Watched { server: Options::new().http().set("aclfile", &pipe).spawn()? };
    until("its HTTP port is there", || Ok(get(watched.http(), "/healthz").is_ok_and(|told| told.status == 200)))?;
    let told = get(watched.http(), "/readyz")?;
    ensure!(told.status == 503 && told.body.starts_with("loading: "), "{}: {}", told.status, told.body);
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_is_loading", &[], 1.0)?;
    ensure!(scrape.get("veddb_process_threads", &[]).is_some(), "the process is there");
    ensure!(scrape.get("veddb_connections_limit", &[]).is_none(), "the server is not");
    fs::write(&pipe, "user default on nopass ~* &* +@all\n")?;
    watched.server.until_ready()?;
    seen.comes_to(&watched, "veddb_is_loading", &[], 0.0, 0.0)?;
    ensure!(get(watched.http(), "/readyz")?.status == 200, "it is ready");
    Ok(())
}

/// A line `Name: 123 kB` of the server's status.
fn status(pid: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).context("a line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn process(seen: &Seen) -> Result<()> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let watched = Watched::start(Options::new())?;
    let pid = watched.server.pid().context("it runs")?;
    let mut client = watched.server.client()?;
    let version = client.figure("server", "veddb_version")?;
    let cipher = client.figure("encryption", "cipher")?;
    let before = watched.scrape()?;
    seen.is(&before, "veddb_build_info", &[("version", &version), ("cipher", &cipher)], 1.0)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    seen.within(&before, "veddb_start_timestamp_seconds", &[], began - 0.001, now)?;
    // It does not move with the clock, nor from one scrape to the next.
    let start = before.get("veddb_start_timestamp_seconds", &[]).context("a start")?;
    for _ in 0..5 {
        seen.is(&watched.scrape()?, "veddb_start_timestamp_seconds", &[], start)?;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.context("a bound")?;
    seen.is(&before, "veddb_process_open_files_limit", &[], limit as f64)?;
    // Ten connections are ten files. Each has answered, so it is there.
    let idle = before.get("veddb_process_open_files", &[]).context("files")?;
    let mut held: Vec<Client> = (0..10).map(|_| watched.server.client()).collect::<Result<_>>()?;
    held.iter_mut().try_for_each(|client| client.ask(&["PING"]).map(drop))?;
    seen.comes_to(&watched, "veddb_process_open_files", &[], idle + 9.0, idle + 11.0)?;
    // Memory and threads as the system tells somebody else.
    client.ask(&["SET", "k", &"x".repeat(20_000_000)])?;
    for (name, line) in [
        ("veddb_process_anonymous_memory_bytes", "RssAnon"),
        ("veddb_process_resident_memory_bytes", "VmRSS"),
        ("veddb_process_resident_memory_peak_bytes", "VmHWM"),
    ] {
        // What the request took is given back between the two looks, or not.
        until(name, || {
            let (scrape, told) = (watched.scrape()?, status(pid, line)? * 1024.0);
            Ok(seen.within(&scrape, name, &[], told * 0.8, told * 1.25).is_ok())
        })?;
    }
    let scrape = watched.scrape()?;
    let threads = status(pid, "Threads")?;
    seen.within(&scrape, "veddb_process_threads", &[], threads - 8.0, threads + 8.0)?;
    // Processor time: as much as /proc says, between two looks at it.
    let ticks = || -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let user = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(11)).context("utime")?;
        Ok(user.parse::<f64>()? / rustix::param::clock_ticks_per_second() as f64)
    };
    let pings: Vec<Vec<&str>> = (0..20_000).map(|_| vec!["PING"]).collect();
    client.pipeline(&pings)?;
    let low = ticks()?;
    let scrape = watched.scrape()?;
    seen.within(&scrape, "veddb_process_cpu_seconds_total", &[("mode", "user")], low, ticks()?)
}

fn memory(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new().set("maxmemory", "10gb"))?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    seen.is(&before, "veddb_memory_limit_bytes", &[], 10.0 * f64::from(1 << 30))?;
    seen.is(&before, "veddb_is_out_of_memory", &[], 0.0)?;
    client.ask(&["CONFIG", "SET", "maxmemory", "1mb"])?;
    let after = watched.scrape()?;
    seen.is(&after, "veddb_memory_limit_bytes", &[], f64::from(1 << 20))?;
    seen.is(&after, "veddb_is_out_of_memory", &[], 1.0)
}
