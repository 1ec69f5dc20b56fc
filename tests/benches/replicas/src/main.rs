//! Clients that load a primary, and what that comes to with a replica: rates, a full synchronisation, and how late the replica is.
//!
//! Owns the clients, the clock and the count. Knows nothing of the servers but their addresses, that DOC.SET and DOC.GET are
//! answered there, REPLICAOF and two figures of INFO. One thread does it all.
//!
//! `veddb-bench-replicas PRIMARY:PORT REPLICA:PORT CLIENTS DOCUMENTS DOCUMENT-BYTES SECONDS`
//!
//! Fills the collection, with documents of at least so many bytes, and measures, each for that many seconds: the top rate of DOC.SET, where every client sends one, waits for
//! its answer and sends the next; a full synchronisation, from REPLICAOF to the link being up; the top rate with the replica,
//! and how long the replica then takes to have all; and at half of that rate the lag. The lag is that of a marker: from the
//! moment at which the primary's answer to its DOC.SET is read, to the moment at which the answer of a DOC.GET on the replica,
//! sent again and again, first has it. So it has a round trip in it.

#[path = "../../mixed/src/resp.rs"]
mod resp;

#[path = "../../mixed/src/document.rs"]
mod document;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use resp::{Connection, Reply, request};
use tokio::task::JoinSet;

use document::document;

const COLLECTION: &str = "replicas";
const MARKER: &str = "marker";
const WARM_UP: Duration = Duration::from_secs(3);
const FILL_BATCH: usize = 500;
const LATENCY_US_MAX: u64 = 60_000_000;
/// Between two markers.
const MARKER_PAUSE: Duration = Duration::from_millis(10);
/// How often the replica is asked whether it has all.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How long a synchronisation may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What the clients of a part share.
struct Run {
    address: String,
    documents: u64,
    /// Nanoseconds from one command of a client to its next; 0: as soon as the answer is there.
    interval_ns: u64,
    done: AtomicU64,
    stopping: AtomicBool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [primary, replica, clients, documents, document_bytes, seconds] = words.as_slice() else {
        bail!("arguments: PRIMARY:PORT REPLICA:PORT CLIENTS DOCUMENTS DOCUMENT-BYTES SECONDS");
    };
    let clients: u64 = clients.parse().context("CLIENTS")?;
    let documents: u64 = documents.parse().context("DOCUMENTS")?;
    let document_bytes: usize = document_bytes.parse().context("DOCUMENT-BYTES")?;
    let seconds = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let mut replica_link = Connection::to(replica).await?;
    let mut primary_link = Connection::to(primary).await?;
    // Who says nothing at all is not waited for.
    primary_link.ask(&["PING"]).await?;

    let bytes = fill(primary, documents, document_bytes).await?;
    let alone = top_rate(primary, clients, documents, seconds).await?;
    println!("top rate without a replica: {alone:.0} DOC.SET/s");

    let (host, port) = primary.rsplit_once(':').context("PRIMARY:PORT")?;
    let began = Instant::now();
    replica_link.ask(&["REPLICAOF", host, port]).await?;
    until_up(&mut replica_link).await?;
    let took_s = began.elapsed().as_secs_f64();
    let mb = bytes as f64 / 1e6;
    println!(
        "full synchronisation: {documents} documents, {mb:.0} MB of them, in {took_s:.2} s: {:.0} MB/s, {:.0} documents/s",
        mb / took_s,
        documents as f64 / took_s
    );

    let top = top_rate(primary, clients, documents, seconds).await?;
    let behind_s = until_in_step(&mut primary_link, &mut replica_link).await?.as_secs_f64();
    println!("top rate with a replica: {top:.0} DOC.SET/s ({:.2} of that without)", top / alone);
    println!("the replica has all of that {:.1} ms after its end", behind_s * 1e3);

    let (rate, lags) = lag(primary, replica, clients, documents, top / 2.0, seconds).await?;
    let ms = |quantile| lags.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "lag at {rate:.0} DOC.SET/s, from the primary's answer to being seen on the replica, {} markers: p50 {:.2} ms, p99 {:.2} ms, \
         most {:.2} ms",
        lags.len(),
        ms(0.5),
        ms(0.99),
        lags.max() as f64 / 1e3
    );
    Ok(())
}

/// A document of at least so many bytes, of which nothing can be made smaller.
fn of_bytes(mut document: String, bytes: usize) -> String {
    if document.len() < bytes {
        document.pop();
        document.push_str(r#","more":""#);
        while document.len() + 2 < bytes {
            document.push_str(&format!("{:016x}", rand::random::<u64>()));
        }
        document.push_str(r#""}"#);
    }
    document
}

/// Writes all documents; answers how many bytes of JSON they are.
async fn fill(primary: &str, documents: u64, document_bytes: usize) -> Result<u64> {
    let mut connection = Connection::to(primary).await?;
    let mut bytes = 0;
    let ids: Vec<u64> = (0..documents).collect();
    for some in ids.chunks(FILL_BATCH) {
        let mut requests = Vec::new();
        for id in some {
            let body = of_bytes(document(*id), document_bytes);
            bytes += body.len() as u64;
            requests.extend(request(&["DOC.SET", COLLECTION, &id.to_string(), &body]));
        }
        connection.send(&requests).await?;
        for _ in some {
            connection.reply().await?;
        }
    }
    Ok(bytes)
}

/// Has clients write with so many nanoseconds between two commands of each, and begins to count when they are warm.
async fn start(
    primary: &str,
    clients: u64,
    documents: u64,
    interval_ns: u64,
) -> Result<(Arc<Run>, JoinSet<Result<()>>)> {
    let run = Arc::new(Run {
        address: primary.to_owned(),
        documents,
        interval_ns,
        done: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        tasks.spawn(write(Arc::clone(&run), client * interval_ns / clients));
    }
    tokio::time::sleep(WARM_UP).await;
    run.done.store(0, Relaxed);
    Ok((run, tasks))
}

async fn stop(run: &Run, mut tasks: JoinSet<Result<()>>) -> Result<()> {
    run.stopping.store(true, Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// One client, whose first command is sent after so many nanoseconds.
async fn write(run: Arc<Run>, first_ns: u64) -> Result<()> {
    let mut connection = Connection::to(&run.address).await?;
    let began = Instant::now();
    let mut due = Duration::from_nanos(first_ns);
    while !run.stopping.load(Relaxed) {
        if run.interval_ns > 0 {
            // Who is late does not wait, so that the rate is kept.
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
            due += Duration::from_nanos(run.interval_ns);
        }
        let id = rand::random_range(0..run.documents);
        connection.ask(&["DOC.SET", COLLECTION, &id.to_string(), &document(id)]).await?;
        run.done.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Commands a second with all clients at it.
async fn top_rate(primary: &str, clients: u64, documents: u64, time: Duration) -> Result<f64> {
    let (run, tasks) = start(primary, clients, documents, 0).await?;
    let began = Instant::now();
    tokio::time::sleep(time).await;
    let rate = run.done.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop(&run, tasks).await?;
    Ok(rate)
}

/// Writes at this rate, and looks meanwhile how late markers are, in microseconds. Answers the rate that it came to as well.
async fn lag(
    primary: &str,
    replica: &str,
    clients: u64,
    documents: u64,
    rate: f64,
    time: Duration,
) -> Result<(f64, Histogram<u64>)> {
    let interval_ns = (clients as f64 * 1e9 / rate.max(1.0)) as u64;
    let (run, tasks) = start(primary, clients, documents, interval_ns).await?;
    let (mut writing, mut reading) = (Connection::to(primary).await?, Connection::to(replica).await?);
    let mut lags = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
    let began = Instant::now();
    for number in 0_u64.. {
        if began.elapsed() > time {
            break;
        }
        // It differs from each before it, also of runs before.
        let marker = format!(r#""n":{number},"of":{}"#, rand::random::<u32>());
        writing.ask(&["DOC.SET", COLLECTION, MARKER, &format!("{{{marker}}}")]).await?;
        let written = Instant::now();
        loop {
            let seen = reading.ask(&["DOC.GET", COLLECTION, MARKER]).await?;
            if matches!(&seen, Reply::Text(seen) if seen.contains(&marker)) {
                lags.saturating_record(u64::try_from(written.elapsed().as_micros())?.max(1));
                break;
            }
            ensure!(written.elapsed() < PATIENCE, "a marker is not seen");
        }
        tokio::time::sleep(MARKER_PAUSE).await;
    }
    let rate = run.done.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop(&run, tasks).await?;
    Ok((rate, lags))
}

/// One figure of INFO replication.
async fn figure(link: &mut Connection, name: &str) -> Result<String> {
    let Reply::Text(info) = link.ask(&["INFO", "replication"]).await? else { bail!("INFO is no text") };
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {name}"))?.trim().to_owned())
}

async fn until_up(replica: &mut Connection) -> Result<()> {
    let began = Instant::now();
    while figure(replica, "master_link_status").await? != "up" {
        ensure!(began.elapsed() < PATIENCE, "the replica's link does not come up");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// How long it takes until the replica has all that the primary has.
async fn until_in_step(primary: &mut Connection, replica: &mut Connection) -> Result<Duration> {
    let began = Instant::now();
    let all: u64 = figure(primary, "master_repl_offset").await?.parse()?;
    while figure(replica, "slave_repl_offset").await?.parse::<u64>()? < all {
        ensure!(began.elapsed() < PATIENCE, "the replica does not catch up");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(began.elapsed())
}
