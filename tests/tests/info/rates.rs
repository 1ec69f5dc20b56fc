//! The figures of stats that are a second's: compared with a load of a steady rate.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use veddb_tests::{Client, Options, request};

use crate::Check;
use crate::seen::{Info, Seen};

pub(crate) const CHECKS: &[Check] = &[("rates", rates)];

/// Commands that are sent in a second, and the length of a request and of its reply.
const RATE: f64 = 2000.0;
/// How many times the figures are read.
const SAMPLES: usize = 25;

/// Sends at the rate until it is over: whoever is late sends what is due.
fn load(client: &mut Client, over: &AtomicBool) -> Result<()> {
    let (begun, mut sent) = (Instant::now(), 0);
    let ping = request(&["PING"]);
    let mut reply = Vec::new();
    while !over.load(SeqCst) {
        let due = (begun.elapsed().as_secs_f64() * RATE) as usize - sent;
        client.send(&ping.repeat(due))?;
        reply.resize(due * "+PONG\r\n".len(), 0);
        client.read_exact(&mut reply)?;
        sent += due;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn rates(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let (mut client, mut loading) = (server.client()?, server.client()?);
    let over = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        let load = scope.spawn(|| load(&mut loading, &over));
        let found = samples(seen, &mut client);
        over.store(true, SeqCst);
        load.join().map_err(|_| anyhow!("the load has panicked"))?.context("the load")?;
        found
    })?;
    let asked = request(&["INFO", "everything"]).len() as f64;
    let (first, last) = (found.first().context("no samples")?, found.last().context("no samples")?);
    // What was asked meanwhile is in the counters, which are exact, and compared elsewhere.
    let seconds = last.1.duration_since(first.1).as_secs_f64();
    let grown = |name: &str| -> Result<f64> { Ok((last.0.number(name)? - first.0.number(name)?) / seconds) };
    ensure!((grown("total_commands_processed")? / RATE - 1.0).abs() < 0.1, "the load was not steady");
    for (name, rate) in [
        ("instantaneous_ops_per_sec", grown("total_commands_processed")?),
        ("instantaneous_input_kbps", grown("total_net_input_bytes")? / 1024.0),
        ("instantaneous_output_kbps", grown("total_net_output_bytes")? / 1024.0),
    ] {
        // The one in the middle: in a second in which the machine had something else to do it is less, and more in the next.
        let mut sorted = found.iter().map(|(info, _)| Ok((info.number(name)?, info))).collect::<Result<Vec<_>>>()?;
        sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (_, middle) = sorted[sorted.len() / 2];
        seen.within(middle, name, rate * 0.8..=rate * 1.2)?;
    }
    ensure!(asked < RATE, "asking is no part of the load worth speaking of");
    Ok(())
}

/// What is said while the load lasts, from when the first whole second of it is over.
fn samples(seen: &mut Seen, client: &mut Client) -> Result<Vec<(Info, Instant)>> {
    thread::sleep(Duration::from_millis(2200));
    let mut found = Vec::new();
    for _ in 0..SAMPLES {
        found.push((seen.look(client)?, Instant::now()));
        thread::sleep(Duration::from_millis(250));
    }
    Ok(found)
}
