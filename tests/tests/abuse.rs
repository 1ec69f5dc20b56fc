//! Strangers and clients that mean harm, as hard as they can: whoever else is there hardly notices, and memory stays bounded.
//!
//! `VEDDB_ABUSE_SECONDS` (3) each kind; `VEDDB_PING_MS` (50) is the bound of PING's p99.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::{Client, Options, Random, Server, request, seed, setting};

/// What the server may use with the budgets below.
const RESIDENT_MAX: u64 = 300 << 20;
/// Threads that attack: more than there are processors.
const THREADS: usize = 8;

fn server() -> Result<Server> {
    let options = Options::new().password("a long secret").environment("MIMALLOC_ALLOW_THP", "0");
    options.set("maxmemory-cache", "16mb").set("maxmemory-index", "16mb").start()
}

/// Has so many threads attack for a while, each again and again, and looks how a client that got in before fares meanwhile.
fn abuse(what: &str, server: &Server, attack: impl Fn(usize) -> Result<u64> + Sync) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(setting("VEDDB_ABUSE_SECONDS", 3));
    let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut client = server.client()?;
    thread::scope(|scope| -> Result<()> {
        let attackers: Vec<_> = (0..THREADS)
            .map(|number| {
                scope.spawn({
                    let (over, done, attack) = (&over, &done, &attack);
                    move || -> Result<()> {
                        while !over.load(Ordering::Relaxed) {
                            done.fetch_add(attack(number)?, Ordering::Relaxed);
                        }
                        Ok(())
                    }
                })
            })
            .collect();
        let (mut pings, mut largest) = (Vec::new(), 0);
        while Instant::now() < until {
            let asked = Instant::now();
            client.ask(&["PING"])?;
            pings.push(asked.elapsed());
            largest = largest.max(server.resident()?);
            thread::sleep(Duration::from_millis(2));
        }
        over.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker.join().expect("an attacker does not panic")?;
        }
        pings.sort();
        let p99 = pings[pings.len() * 99 / 100];
        let (count, resident) = (done.load(Ordering::Relaxed), largest >> 20);
        println!(
            "{what}: {count} times, {} pings, p99 {p99:?}, most {:?}, resident {resident} MiB",
            pings.len(),
            pings[pings.len() - 1]
        );
        ensure!(count > 0, "{what}: nothing was tried");
        ensure!(
            p99 < Duration::from_millis(setting("VEDDB_PING_MS", 50)),
            "{what}: PING took {p99:?} at the 99th percentile"
        );
        ensure!(largest < RESIDENT_MAX, "{what}: {resident} MiB");
        Ok(())
    })
}

/// Writes until the server has closed, or everything is written.
fn pour(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    socket.write_all(bytes).is_ok()
}

#[test]
fn guessing_passwords() -> Result<()> {
    let server = server()?;
    for failures_max in ["0", "10"] {
        server.client()?.ask(&["CONFIG", "SET", "limit-auth-failures", failures_max])?;
        abuse(&format!("guessing, limit-auth-failures {failures_max}"), &server, |number| {
            let mut client = Client::connect(server.port())?;
            for guess in 0..20 {
                // The next ones are sent before the first is answered.
                client.send(&request(&[
                    "AUTH",
                    if guess % 2 == 0 { "default" } else { "nobody" },
                    &format!("{number} {guess}"),
                ]))?;
            }
            let mut refused = 0;
            for _ in 0..20 {
                let reply = client.read()?;
                ensure!(reply.is_error("WRONGPASS") || reply.is_error("RATELIMIT"), "{reply}");
                refused += 1;
            }
            Ok(refused)
        })?;
    }
    Ok(())
}

#[test]
fn flooding_with_connections() -> Result<()> {
    let server = server()?;
    // Those that say nothing are there all the time.
    let silent: Vec<TcpStream> =
        (0..5000).map(|_| TcpStream::connect(("127.0.0.1", server.port()))).collect::<std::io::Result<_>>()?;
    abuse("a flood of connections, beside 5,000 silent ones", &server, |_| {
        for _ in 0..50 {
            let mut socket = TcpStream::connect(("127.0.0.1", server.port()))?;
            pour(&mut socket, b"PING\r\n");
        }
        Ok(50)
    })?;
    drop(silent);
    Ok(())
}

#[test]
fn sending_slowly() -> Result<()> {
    let server = server()?;
    let bytes = request(&["AUTH", "default", &"x".repeat(10_000)]);
    abuse("slow senders", &server, |_| {
        let mut sockets: Vec<TcpStream> =
            (0..100).map(|_| TcpStream::connect(("127.0.0.1", server.port()))).collect::<std::io::Result<_>>()?;
        for drip in bytes.chunks(7).take(100) {
            for socket in &mut sockets {
                pour(socket, drip);
            }
            // Eight hundred connections in drips without a rest would be eight threads that take both processors.
            thread::sleep(Duration::from_millis(20));
        }
        Ok(100)
    })
}

#[test]
fn reading_nothing() -> Result<()> {
    let server = server()?;
    let mut admin = server.client()?;
    let document = format!(r#"{{"_id":"big","text":"{}"}}"#, "z".repeat(1 << 20));
    admin.ask(&["DOC.SET", "c", "big", &document])?;
    let requests = request(&["DOC.GET", "c", "big"]).repeat(1000);
    abuse("clients that read nothing", &server, |_| {
        let mut deaf: Vec<Client> = (0..4).map(|_| server.client()).collect::<Result<_>>()?;
        for client in &mut deaf {
            client.send(&requests)?;
        }
        thread::sleep(Duration::from_millis(300));
        Ok(4)
    })
}

#[test]
fn asking_for_much_before_getting_in() -> Result<()> {
    let server = server()?;
    let much = vec![b'x'; 8 << 20];
    abuse("giant requests before AUTH", &server, |number| {
        let starts: [&[u8]; 6] = [
            b"*3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$500000000\r\n",
            b"*1000000\r\n",
            b"*2\r\n$4\r\nAUTH\r\n$16384\r\n",
            b"",
            b"HELLO 3 AUTH default ",
            b"*-1\r\n*0\r\n*10\r\n$16384\r\n",
        ];
        let mut socket = TcpStream::connect(("127.0.0.1", server.port()))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let taken = pour(&mut socket, starts[number % starts.len()]) && pour(&mut socket, &much);
        ensure!(!taken || number % starts.len() == 2, "8 MiB were taken of a stranger");
        let _ = socket.read(&mut [0; 1024]);
        Ok(1)
    })
}

#[test]
fn random_bytes() -> Result<()> {
    let server = server()?;
    let seed = seed();
    abuse("random bytes", &server, |number| {
        let mut random = Random::new(seed.wrapping_add(number as u64));
        let mut socket = TcpStream::connect(("127.0.0.1", server.port()))?;
        let bytes: Vec<u8> = (0..65536).map(|_| random.below(256) as u8).collect();
        pour(&mut socket, &bytes);
        Ok(1)
    })
}
