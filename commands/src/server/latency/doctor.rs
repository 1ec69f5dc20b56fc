//! LATENCY DOCTOR: the events in words, with what can be done.

use std::fmt::Write;

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::figures::LatencyEvent;
use crate::reply::Reply;
use crate::spec::{Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "DOCTOR",
    group: Group::Server,
    summary: "The events in words, with what can be done about each.",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "text",
    examples: &[("LATENCY DOCTOR", "1. command: 2 latency spikes (average 300ms, ...")],
    run: Run::Session(doctor),
    ..Command::BLANK
};

fn doctor(_args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let threshold = session.config_get(b"latency-monitor-threshold").pop().map(|(_, value)| value).unwrap_or_default();
    let events = session.latency_events();
    let now_s = session.unix_time().as_secs();
    let mut text = String::new();
    if events.is_empty() && threshold == "0" {
        text.push_str(
            "Latency monitoring is disabled. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n",
        );
    } else if events.is_empty() {
        text.push_str(&format!("Nothing took longer than {threshold} ms since LATENCY RESET or the start.\n"));
    }
    for (at, event) in events.iter().enumerate() {
        describe(&mut text, at + 1, event, now_s);
    }
    Ok(Reply::Verbatim(text))
}

fn describe(text: &mut String, number: usize, event: &LatencyEvent, now_s: u64) {
    let count = event.samples.len().max(1) as f64;
    let average = event.samples.iter().map(|sample| sample.took_ms as f64).sum::<f64>() / count;
    let deviation = event.samples.iter().map(|sample| (sample.took_ms as f64 - average).abs()).sum::<f64>() / count;
    let first = event.samples.first().map_or(now_s, |sample| sample.unix_s);
    let period = now_s.saturating_sub(first).max(1) as f64 / count;
    let advice = match event.name {
        "command" => "SLOWLOG GET has the commands, DOC.EXPLAIN what a query looked at; an index may be missing.",
        "fast-command" => "These do little, so the machine had no time for the server: look at its load.",
        _ => "The disk was slow to sync, or very much was written at once: look at what else uses the disk.",
    };
    let written = writeln!(
        text,
        "{number}. {}: {} latency spikes (average {average:.0}ms, mean deviation {deviation:.0}ms, period {period:.2} sec). \
         Worst all time event {}ms. {advice}",
        event.name,
        event.samples.len(),
        event.max_ms,
    );
    written.expect("writing to a string cannot fail");
}
