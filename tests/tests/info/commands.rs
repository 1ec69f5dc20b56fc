//! The sections commandstats, errorstats, latencystats and keyspace: calls of a known number and outcome, keys of a known life.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use veddb_tests::Options;

use crate::Check;
use crate::seen::Seen;

pub(crate) const CHECKS: &[Check] = &[("calls", calls), ("latencies", latencies), ("keyspace", keyspace)];

fn calls(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["SET", "text", "x"])?;
    for _ in 0..4 {
        client.ask(&["GET", "text"])?;
    }
    // Three fail, and two are turned away before they are carried out.
    for _ in 0..3 {
        client.run(&["INCR", "text"])?;
    }
    for _ in 0..2 {
        client.run(&["GET"])?;
    }
    client.run(&["LPUSH", "text", "x"])?;
    client.ask(&["MULTI"])?;
    client.ask(&["GET", "text"])?;
    client.ask(&["EXEC"])?;
    let info = seen.look(&mut client)?;
    seen.part_is(&info, "cmdstat_get", "calls", 5)?;
    seen.part_is(&info, "cmdstat_get", "rejected_calls", 2)?;
    seen.part_is(&info, "cmdstat_get", "failed_calls", 0)?;
    seen.part_is(&info, "cmdstat_incr", "calls", 3)?;
    seen.part_is(&info, "cmdstat_incr", "failed_calls", 3)?;
    seen.part_is(&info, "cmdstat_exec", "calls", 1)?;
    let (usec, calls) = (info.part("cmdstat_incr", "usec")?, info.part("cmdstat_incr", "calls")?);
    let each = usec / calls;
    seen.part_within(&info, "cmdstat_incr", "usec_per_call", each - 0.01..=each + 0.01)?;
    seen.part_is(&info, "errorstat_ERR", "count", 6)?;
    client.ask(&["CONFIG", "RESETSTAT"])?;
    let info = seen.look(&mut client)?;
    ensure!(info.text("cmdstat_get").is_err() && info.text("errorstat_ERR").is_err(), "they are still counted");
    Ok(())
}

/// Calls that take a known time: eight a short one, one a long one.
fn latencies(seen: &mut Seen) -> Result<()> {
    let options = Options::new().set("enable-debug-command", "local");
    let server = options.set("latency-tracking-info-percentiles", "50 100").start()?;
    let mut client = server.client()?;
    let mut took_us = Vec::new();
    for seconds in ["0.5", "0.05", "0.05", "0.05", "0.05", "0.05", "0.05", "0.05", "0.05"] {
        let begun = Instant::now();
        client.ask(&["DEBUG", "SLEEP", seconds])?;
        took_us.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let info = seen.look(&mut client)?;
    let all: f64 = took_us.iter().sum();
    seen.part_within(&info, "cmdstat_debug", "usec", 900_000.0..=all)?;
    seen.part_is(&info, "cmdstat_debug", "calls", 9)?;
    // They are kept by two digits.
    let name = "latency_percentiles_usec_debug";
    took_us.sort_by(f64::total_cmp);
    seen.part_within(&info, name, "p50", 50_000.0 * 0.98..=took_us[4] * 1.02)?;
    seen.part_within(&info, name, "p100", 500_000.0 * 0.98..=took_us[8] * 1.02)?;
    ensure!(info.text(name)?.split(',').count() == 2, "{}", info.text(name)?);
    client.ask(&["CONFIG", "SET", "latency-tracking", "no"])?;
    client.ask(&["CONFIG", "RESETSTAT"])?;
    client.ask(&["DEBUG", "SLEEP", "0.01"])?;
    let info = seen.look(&mut client)?;
    ensure!(info.text(name).is_err(), "it is shown without being tracked");
    Ok(())
}

fn keyspace(seen: &mut Seen) -> Result<()> {
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let begun = Instant::now();
    client.ask(&["SET", "stays", "x"])?;
    client.ask(&["SET", "a", "x", "PX", "1000000"])?;
    client.ask(&["SET", "b", "x", "PX", "3000000"])?;
    client.ask(&["SELECT", "3"])?;
    client.ask(&["SET", "c", "x"])?;
    let info = seen.look(&mut client)?;
    let passed = begun.elapsed().as_millis() as f64;
    seen.part_is(&info, "db0", "keys", 3)?;
    seen.part_is(&info, "db0", "expires", 2)?;
    seen.part_within(&info, "db0", "avg_ttl", 2_000_000.0 - passed - 1.0..=2_000_000.0)?;
    seen.part_is(&info, "db0", "subexpiry", 0)?;
    seen.part_is(&info, "db3", "keys", 1)?;
    seen.part_is(&info, "db3", "expires", 0)?;
    ensure!(info.text("db1").is_err(), "a database without keys is shown");
    client.ask(&["DEL", "c"])?;
    let info = seen.look(&mut client)?;
    ensure!(info.text("db3").context("gone").is_err(), "a database without keys is shown");
    Ok(())
}
