//! Commands, their errors and how long they took; queries, cursors, messages.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use veddb_tests::{Client, Options};

use super::watch::{Check, Seen, Watched, run};

pub(crate) const CHECKS: &[Check] = &[
    Check { of: &["veddb_commands_total", "veddb_command_errors_total"], run: calls },
    Check { of: &["veddb_command_duration_seconds", "veddb_slow_commands_total"], run: durations },
    Check {
        of: &[
            "veddb_cursors",
            "veddb_cursors_limit",
            "veddb_query_memory_bytes",
            "veddb_query_memory_limit_bytes",
            "veddb_query_spilled_bytes_total",
        ],
        run: queries,
    },
    Check {
        of: &["veddb_pubsub_messages_total", "veddb_pubsub_deliveries_total", "veddb_pubsub_subjects"],
        run: messages,
    },
];

#[test]
fn what_commands_did_is_read_back() -> Result<()> {
    run(CHECKS)
}

fn calls(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    for _ in 0..3 {
        client.ask(&["SET", "text", "a"])?;
    }
    client.ask(&["GET", "text"])?;
    ensure!(client.run(&["INCR", "text"])?.is_error("ERR"), "a text was incremented");
    ensure!(client.run(&["GET"])?.is_error("ERR"), "GET without a key");
    ensure!(client.run(&["NOPE"])?.is_error("ERR"), "NOPE");
    // Of a transaction both are counted, EXEC and what was queued.
    client.ask(&["MULTI"])?;
    client.ask(&["SET", "other", "b"])?;
    client.ask(&["EXEC"])?;
    let after = watched.scrape()?;
    let total = |command: &str, status: &str, by: f64| {
        seen.grew(&before, &after, "veddb_commands_total", &[("command", command), ("status", status)], by)
    };
    total("set", "ok", 4.0)?;
    total("get", "ok", 1.0)?;
    total("get", "rejected", 1.0)?;
    total("incr", "ok", 0.0)?;
    total("incr", "failed", 1.0)?;
    total("exec", "ok", 1.0)?;
    let errors = |command: &str, by: f64| {
        seen.grew(&before, &after, "veddb_command_errors_total", &[("command", command), ("code", "ERR")], by)
    };
    errors("incr", 1.0)?;
    errors("get", 1.0)?;
    errors("", 1.0)?;
    ensure!(
        after.get("veddb_command_errors_total", &[("command", "set"), ("code", "ERR")]).is_none(),
        "SET has not failed"
    );
    // A request that is none.
    client.send(b"*1\r\n$x\r\n")?;
    client.read_to_end()?;
    let last = watched.scrape()?;
    seen.grew(&after, &last, "veddb_command_errors_total", &[("command", ""), ("code", "ERR")], 1.0)
}

/// Buckets are cumulative, end with all, and a client's own measurement is in the bucket that says so.
fn durations(seen: &Seen) -> Result<()> {
    const NAME: &str = "veddb_command_duration_seconds";
    let options = Options::new().set("enable-debug-command", "yes").set("slowlog-log-slower-than", "50000");
    let watched = Watched::start(options)?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    let began = Instant::now();
    client.ask(&["DEBUG", "SLEEP", "0.1"])?;
    let took = began.elapsed();
    let after = watched.scrape()?;
    let labels = [("command", "debug")];
    seen.grew(&before, &after, &format!("{NAME}_count"), &labels, 1.0)?;
    seen.within(&after, &format!("{NAME}_sum"), &labels, 0.1, took.as_secs_f64())?;
    let bucket = format!("{NAME}_bucket");
    let mut buckets: Vec<(f64, f64)> = after
        .all(&bucket)
        .filter(|(labels, _)| labels["command"] == "debug")
        .map(|(labels, count)| Ok((labels["le"].parse()?, count)))
        .collect::<Result<_>>()?;
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    ensure!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "not cumulative: {buckets:?}");
    ensure!(buckets.last() == Some(&(f64::INFINITY, 1.0)), "{buckets:?}");
    for (le, count) in &buckets {
        ensure!(*le > 0.1 || *count == 0.0, "it took 0.1 s, and is in the bucket of {le}");
        ensure!(*le < took.as_secs_f64() || *count == 1.0, "it took {took:?}, and is not in the bucket of {le}");
    }
    seen.grew(&before, &after, "veddb_slow_commands_total", &[], 1.0)?;
    quantiles(&mut client)
}

/// The quantiles that INFO says are between what the server was asked to take and what the client waited: however busy the machine is,
/// a sleep is not shorter than asked for, and what the server measures is a part of what the client does.
fn quantiles(client: &mut Client) -> Result<()> {
    let mut took: Vec<Duration> = Vec::new();
    for at in 0..200 {
        let sleep = if at % 10 == 0 { "0.02" } else { "0.004" };
        let began = Instant::now();
        client.ask(&["DEBUG", "SLEEP", sleep])?;
        took.push(began.elapsed());
    }
    took.sort();
    let told = client.figure("latencystats", "latency_percentiles_usec_debug")?;
    for (name, at, least) in [("p50=", 100, 0.004), ("p99=", 198, 0.02)] {
        let us: f64 = told.split(',').find_map(|pair| pair.strip_prefix(name)).context("a quantile")?.parse()?;
        let (is, own) = (us / 1e6, took[at].as_secs_f64());
        // With the sleep before these there are 201, of which the one at a place is no longer than without it. Two digits are told.
        ensure!(is >= least * 0.99 && is <= own * 1.01, "{name}{is} s, from {least} s to {own} s");
    }
    Ok(())
}

fn queries(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new().set("max-cursors", "77").set("query-memory-total", "5mb"))?;
    let mut client = watched.server.client()?;
    let text = "x".repeat(2000);
    for at in 0..1500 {
        client.ask(&["DOC.INSERT", "c", &format!(r#"{{"_id":{at},"n":{},"text":"{text}"}}"#, at * 7919 % 1500)])?;
    }
    let before = watched.scrape()?;
    seen.is(&before, "veddb_cursors_limit", &[], 77.0)?;
    seen.is(&before, "veddb_query_memory_limit_bytes", &[], f64::from(5 << 20))?;
    seen.is(&before, "veddb_query_memory_bytes", &[], 0.0)?;
    let opened = client.ask(&["DOC.AGGREGATE", "c", r#"[{"$limit":100},{"$sort":{"n":1}}]"#, "CURSOR", "1"])?;
    let cursor = opened.expect_array()[0].to_string();
    let open = watched.scrape()?;
    seen.grew(&before, &open, "veddb_cursors", &[], 1.0)?;
    seen.within(&open, "veddb_query_memory_bytes", &[], 99.0 * 2000.0, f64::from(1 << 20))?;
    client.ask(&["DOC.CURSOR", "DEL", cursor.trim_start_matches(':')])?;
    let closed = watched.scrape()?;
    seen.is(&closed, "veddb_cursors", &[], 0.0)?;
    seen.is(&closed, "veddb_query_memory_bytes", &[], 0.0)?;
    // EXPLAIN runs the query and says how much it wrote.
    client.ask(&["CONFIG", "SET", "query-memory-limit", "1mb"])?;
    let told = client.ask(&["DOC.EXPLAIN", "AGGREGATE", "c", r#"[{"$sort":{"n":1}}]"#])?;
    let told: Json = serde_json::from_str(told.expect_text())?;
    let spilled = told["spilledBytes"].as_f64().context("spilledBytes")?;
    ensure!(spilled > 0.0, "nothing was spilled: {told}");
    seen.grew(&closed, &watched.scrape()?, "veddb_query_spilled_bytes_total", &[], spilled)
}

fn messages(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let (mut one, mut other, mut shard) =
        (watched.server.client()?, watched.server.client()?, watched.server.client()?);
    one.ask(&["SUBSCRIBE", "news"])?;
    other.ask(&["SUBSCRIBE", "news"])?;
    other.ask(&["PSUBSCRIBE", "n*"])?;
    shard.ask(&["SSUBSCRIBE", "s"])?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    for (kind, count) in [("channel", 1.0), ("pattern", 1.0), ("shard", 1.0)] {
        seen.is(&before, "veddb_pubsub_subjects", &[("kind", kind)], count)?;
    }
    for _ in 0..5 {
        client.ask(&["PUBLISH", "news", "hello"])?;
    }
    client.ask(&["PUBLISH", "nobody listens", "hello"])?;
    client.ask(&["SPUBLISH", "s", "hello"])?;
    let after = watched.scrape()?;
    seen.grew(&before, &after, "veddb_pubsub_messages_total", &[], 7.0)?;
    // Two by the channel and one by the pattern, which `nobody listens` matches too.
    seen.grew(&before, &after, "veddb_pubsub_deliveries_total", &[], 5.0 * 3.0 + 1.0 + 1.0)
}
