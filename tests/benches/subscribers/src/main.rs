//! Publishers and subscribers that load one server, and say how many messages a second arrived and how late.
//!
//! Owns the connections, the clock and the count. Knows nothing of the server but its address: it speaks RESP2, and
//! `tests/benches/pubsub` gives two servers the same load. All messages of a run have one length, so a receiver counts
//! bytes; every sixteenth message is looked at, and the time in its payload gives the latency. One thread does it all,
//! so that the other processor is the server's.
//!
//! `veddb-bench-subscribers HOST:PORT PUBLISHERS SUBSCRIBERS PATTERNS PAYLOAD-BYTES SECONDS`
//!
//! Each publisher has a channel, and the subscribers are dealt out to the channels. With patterns each subscriber has
//! that many instead, of which one matches. Prints: messages delivered a second, the latency's median and 99th
//! percentile in microseconds, and the share of its processor that this program took, in percent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many messages of one publisher may be under way: unanswered, or not with all subscribers. It bounds what a
/// server has to hold for a subscriber, so that no limit of output buffers is met.
const WINDOW: usize = 64;
const SAMPLE_EVERY: u64 = 16;
const STAMP_BYTES: usize = 16;
const READ_BYTES: usize = 16 * 1024;
/// How many patterns one PSUBSCRIBE carries.
const PATTERNS_AT_ONCE: usize = 100;
const WARM_UP: Duration = Duration::from_millis(500);
const DRAIN_MAX: Duration = Duration::from_secs(10);
const LATENCY_US_MAX: u64 = 60_000_000;

struct Load {
    address: String,
    publishers: usize,
    subscribers: usize,
    patterns: usize,
    payload_bytes: usize,
    seconds: u64,
}

impl Load {
    fn from_arguments() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [address, publishers, subscribers, patterns, payload_bytes, seconds] = words.as_slice() else {
            bail!("arguments: HOST:PORT PUBLISHERS SUBSCRIBERS PATTERNS PAYLOAD-BYTES SECONDS");
        };
        let load = Self {
            address: address.clone(),
            publishers: publishers.parse().context("PUBLISHERS")?,
            subscribers: subscribers.parse().context("SUBSCRIBERS")?,
            patterns: patterns.parse().context("PATTERNS")?,
            payload_bytes: payload_bytes.parse().context("PAYLOAD-BYTES")?,
            seconds: seconds.parse().context("SECONDS")?,
        };
        ensure!(load.payload_bytes >= STAMP_BYTES, "a payload has room for a time: {STAMP_BYTES} bytes");
        ensure!((1..=100).contains(&load.publishers), "1 to 100 publishers");
        ensure!(
            load.subscribers > 0 && load.subscribers.is_multiple_of(load.publishers),
            "as many subscribers for each publisher"
        );
        ensure!(load.patterns == 0 || load.publishers == 1, "one publisher where there are patterns");
        Ok(load)
    }

    /// How many subscribers hear one message.
    fn fanout(&self) -> usize {
        self.subscribers / self.publishers
    }
}

/// What the tasks of a run share.
struct Run {
    began: Instant,
    fanout: u64,
    published: AtomicU64,
    delivered: AtomicU64,
    stopping: AtomicBool,
    /// Messages that may be published before others have arrived everywhere.
    room: Semaphore,
    latencies: Mutex<Histogram<u64>>,
}

impl Run {
    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts messages that a subscriber got; a message that all have got makes room for another.
    fn arrived(&self, messages: u64) {
        let before = self.delivered.fetch_add(messages, Relaxed);
        let everywhere = (before + messages) / self.fanout - before / self.fanout;
        self.room.add_permits(usize::try_from(everywhere).unwrap_or(0));
    }

    fn latencies(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let load = Load::from_arguments()?;
    let run = Arc::new(Run {
        began: Instant::now(),
        fanout: u64::try_from(load.fanout())?,
        published: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
        room: Semaphore::new(WINDOW * load.publishers),
        latencies: Mutex::new(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?),
    });
    let mut tasks = JoinSet::new();

    for subscriber in 0..load.subscribers {
        let channel = channel(subscriber % load.publishers);
        let mut socket = connect(&load.address).await?;
        let head = if load.patterns == 0 {
            subscribe(&mut socket, &channel).await?;
            words(&["message", &channel])
        } else {
            subscribe_to_patterns(&mut socket, load.patterns).await?;
            words(&["pmessage", MATCHING, &channel])
        };
        tasks.spawn(receive(socket, head, load.payload_bytes, run.clone()));
    }
    for publisher in 0..load.publishers {
        let (answers, requests) = connect(&load.address).await?.into_split();
        let unanswered = Arc::new(Semaphore::new(WINDOW));
        tasks.spawn(take_answers(answers, load.fanout(), unanswered.clone()));
        tasks.spawn(publish(requests, channel(publisher), load.payload_bytes, unanswered, run.clone()));
    }

    undisturbed(&mut tasks, WARM_UP).await?;
    run.latencies().reset();
    let (began, busy_before, before) = (Instant::now(), busy_nanoseconds()?, run.delivered.load(Relaxed));
    undisturbed(&mut tasks, Duration::from_secs(load.seconds)).await?;
    let (lasted, busy_after, after) = (began.elapsed(), busy_nanoseconds()?, run.delivered.load(Relaxed));
    let (median_us, p99_us) = {
        let latencies = run.latencies();
        (latencies.value_at_quantile(0.5), latencies.value_at_quantile(0.99))
    };

    run.stopping.store(true, Relaxed);
    let until = Instant::now() + DRAIN_MAX;
    while run.delivered.load(Relaxed) < run.published.load(Relaxed) * run.fanout {
        ensure!(Instant::now() < until, "messages that were published did not arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let per_second = (after - before) as f64 / lasted.as_secs_f64();
    let busy = (busy_after - busy_before) as f64 / lasted.as_nanos() as f64 * 100.0;
    println!("{per_second:.0} {median_us} {p99_us} {busy:.0}");
    Ok(())
}

/// Waits; a task that ends meanwhile has failed.
async fn undisturbed(tasks: &mut JoinSet<Result<()>>, time: Duration) -> Result<()> {
    tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(ended) => ended?.and_then(|()| bail!("a connection ended")),
            None => bail!("there are no connections"),
        },
        () = tokio::time::sleep(time) => Ok(()),
    }
}

const MATCHING: &str = "bench:*";

fn channel(number: usize) -> String {
    format!("bench:{number:02}")
}

async fn connect(address: &str) -> Result<TcpStream> {
    let socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The words as RESP bulk strings.
fn words(words: &[&str]) -> Vec<u8> {
    words.iter().flat_map(|word| format!("${}\r\n{word}\r\n", word.len()).into_bytes()).collect()
}

fn request(parts: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", parts.len()).into_bytes();
    request.extend(words(parts));
    request
}

async fn subscribe(socket: &mut TcpStream, channel: &str) -> Result<()> {
    socket.write_all(&request(&["SUBSCRIBE", channel])).await?;
    confirmed(socket, 1).await
}

/// Subscribes to many patterns, the last of which matches every channel here.
async fn subscribe_to_patterns(socket: &mut TcpStream, count: usize) -> Result<()> {
    let mut patterns: Vec<String> = (1..count).map(|number| format!("other:{number:05}:*")).collect();
    patterns.push(MATCHING.to_owned());
    let mut done = 0;
    // Some at a time, so that neither side waits for the other with a full buffer.
    for some in patterns.chunks(PATTERNS_AT_ONCE) {
        let mut parts = vec!["PSUBSCRIBE"];
        parts.extend(some.iter().map(String::as_str));
        socket.write_all(&request(&parts)).await?;
        done += some.len();
        confirmed(socket, done).await?;
    }
    Ok(())
}

/// Reads up to the confirmation with which there are `count` subscriptions.
async fn confirmed(socket: &mut TcpStream, count: usize) -> Result<()> {
    let last = format!("\r\n:{count}\r\n").into_bytes();
    let mut answer = Vec::new();
    while !answer.ends_with(&last) {
        ensure!(socket.read_buf(&mut answer).await? > 0, "the server closed a subscriber");
        ensure!(answer.first() != Some(&b'-'), "subscribing: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

async fn receive(mut socket: TcpStream, head: Vec<u8>, payload_bytes: usize, run: Arc<Run>) -> Result<()> {
    let parts = head.iter().filter(|&&byte| byte == b'$').count() + 1;
    let mut prefix = format!("*{parts}\r\n").into_bytes();
    prefix.extend(head);
    prefix.extend(format!("${payload_bytes}\r\n").into_bytes());
    let length = prefix.len() + payload_bytes + 2;

    let mut buffer = vec![0; READ_BYTES + length];
    let mut filled = 0;
    let mut seen = 0_u64;
    loop {
        let read = socket.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the server closed a subscriber");
        filled += read;
        let whole = filled / length;
        if whole == 0 {
            continue;
        }
        let now = run.nanoseconds();
        for message in buffer[..whole * length].chunks_exact(length) {
            if seen.is_multiple_of(SAMPLE_EVERY) {
                ensure!(message.starts_with(&prefix), "not a message: {}", String::from_utf8_lossy(message));
                let stamp = std::str::from_utf8(&message[prefix.len()..prefix.len() + STAMP_BYTES])?;
                let sent: u64 = stamp.parse().with_context(|| format!("the time {stamp}"))?;
                run.latencies().saturating_record((now.saturating_sub(sent) / 1000).max(1));
            }
            seen += 1;
        }
        buffer.copy_within(whole * length..filled, 0);
        filled -= whole * length;
        run.arrived(u64::try_from(whole)?);
    }
}

async fn publish(
    mut socket: OwnedWriteHalf,
    channel: String,
    payload_bytes: usize,
    unanswered: Arc<Semaphore>,
    run: Arc<Run>,
) -> Result<()> {
    let template = request(&["PUBLISH", &channel, &"x".repeat(payload_bytes)]);
    let stamp_at = template.len() - 2 - payload_bytes;
    let mut requests = Vec::with_capacity(template.len() * WINDOW);
    loop {
        // As many as there is room for, and at least one, which is waited for.
        let count = run.room.available_permits().min(unanswered.available_permits()).clamp(1, WINDOW);
        let permits = u32::try_from(count)?;
        run.room.acquire_many(permits).await?.forget();
        unanswered.acquire_many(permits).await?.forget();
        if run.stopping.load(Relaxed) {
            // The task stays, since one that ends has failed.
            return std::future::pending().await;
        }
        let stamp = format!("{:0STAMP_BYTES$}", run.nanoseconds());
        requests.clear();
        for _ in 0..count {
            let at = requests.len() + stamp_at;
            requests.extend_from_slice(&template);
            requests[at..at + STAMP_BYTES].copy_from_slice(stamp.as_bytes());
        }
        run.published.fetch_add(u64::try_from(count)?, Relaxed);
        socket.write_all(&requests).await?;
    }
}

/// Every answer to PUBLISH is the number of subscribers that hear it, so they too have one length.
async fn take_answers(mut socket: OwnedReadHalf, fanout: usize, unanswered: Arc<Semaphore>) -> Result<()> {
    let expected = format!(":{fanout}\r\n").into_bytes();
    let mut answers = Vec::with_capacity(READ_BYTES);
    loop {
        ensure!(socket.read_buf(&mut answers).await? > 0, "the server closed a publisher");
        let whole = answers.len() / expected.len();
        let right = answers.chunks_exact(expected.len()).all(|answer| answer == expected);
        ensure!(right && answers.first() == Some(&b':'), "answers to PUBLISH: {}", String::from_utf8_lossy(&answers));
        answers.drain(..whole * expected.len());
        unanswered.add_permits(whole);
    }
}

/// How long this program's only thread has run.
fn busy_nanoseconds() -> Result<u64> {
    let line = std::fs::read_to_string("/proc/self/schedstat").context("/proc/self/schedstat")?;
    let first = line.split_whitespace().next().context("/proc/self/schedstat is empty")?;
    Ok(first.parse()?)
}
