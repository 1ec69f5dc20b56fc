//! While the data of a snapshot take the place of the old ones, whoever asks how things are is answered, however many they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use veddb_tests::{Client, Server, Value, client::request};

use super::pair::{ensure_equal, follow, options, until, until_in_step};

/// Connections that ask: more than the server has threads.
const ASKING: usize = 60;
/// For how long at least the old data are held by somebody who does not take its replies: half of the time that the server gives it.
const HELD: Duration = Duration::from_millis(500);

/// From when until when INFO said that the data are being replaced.
struct Seen {
    first: Instant,
    last: Instant,
}

/// Asks until it is over.
fn ask(server: &Server, over: Arc<AtomicBool>) -> Result<thread::JoinHandle<Result<Option<Seen>>>> {
    let port = server.port();
    let connect = move || Client::connect(port);
    let (mut client, mut asking) = (connect()?, connect()?);
    Ok(thread::spawn(move || {
        let mut seen: Option<Seen> = None;
        while !over.load(SeqCst) {
            // LOADING, as in Redis.
            client.run(&["PING"])?;
            let role = client.ask(&["ROLE"])?;
            ensure!(role.to_string().contains("slave"), "{role}");
            client.ask(&["INFO", "everything"])?;
            client.ask(&["CONFIG", "GET", "appendfsync"])?;
            match asking.run(&["GET", "a"]) {
                Ok(Value::Bulk(_)) => {}
                Ok(Value::Error(why)) if why.starts_with("LOADING") => {}
                Ok(other) => anyhow::bail!("{other}"),
                // Who is in the midst of a read when the time is up is cut off.
                Err(_) => asking = connect()?,
            }
            if client.figure("persistence", "loading")? == "1" {
                let now = Instant::now();
                seen.get_or_insert(Seen { first: now, last: now }).last = now;
            }
        }
        Ok(seen)
    }))
}

/// A connection that has asked for far more than it takes.
fn hold(server: &Server) -> Result<Client> {
    let mut client = server.client()?;
    let all: Vec<u8> = (0..400).flat_map(|_| request(&["GET", "large"])).collect();
    client.send(&all)?;
    Ok(client)
}

#[test]
fn who_asks_is_answered_while_the_data_are_replaced() -> Result<()> {
    let (primary, replica) =
        (options().set("repl-timeout", "20").start()?, options().set("repl-timeout", "20").start()?);
    let mut client = primary.client()?;
    client.ask(&["SET", "a", "1"])?;
    client.ask(&["SET", "large", &"x".repeat(1 << 20)])?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    let holding = hold(&replica)?;
    until("its being stuck", || Ok(replica.client()?.ask(&["CLIENT", "LIST"])?.to_string().contains("cmd=get")))?;
    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..ASKING).map(|_| ask(&replica, Arc::clone(&over))).collect::<Result<_>>()?;
    client.ask(&["REPLICA.SYNC", "ALL"])?;
    until("the second snapshot", || Ok(client.figure("stats", "sync_full")? == "2"))?;
    until_in_step(&primary, &replica)?;
    over.store(true, SeqCst);
    let mut seen = Vec::new();
    for thread in asking {
        seen.extend(thread.join().map_err(|_| anyhow::anyhow!("a client has panicked"))??);
    }
    drop(holding);
    let first = seen.iter().map(|seen| seen.first).min();
    let last = seen.iter().map(|seen| seen.last).max();
    let time = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
    ensure!(time >= HELD, "{} of {ASKING} were told in the midst of it, over {time:?}", seen.len());
    ensure_equal(&primary, &replica)
}
