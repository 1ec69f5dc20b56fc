//! INFO: for each field a check causes a known amount of what it counts, and reads that amount back.
//!
//! Checks are in a file for each section or two. A check notes in [`Seen`] what it has compared, and every field that any server
//! has shown in any check must be among that: a new one without a check fails here. `VEDDB_CHECK` runs those with this in their name.

#[path = "../tls/authority.rs"]
#[allow(dead_code, reason = "its other functions are for the suite that it is of")]
mod authority;
mod clients;
mod commands;
mod denials;
mod encryption;
mod list;
mod memory;
mod persistence;
mod primary;
mod rates;
mod replica;
mod seen;
mod server;
mod stats;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use seen::Seen;

type Check = (&'static str, fn(&mut Seen) -> Result<()>);

/// All checks.
const CHECKS: &[&[Check]] = &[
    server::CHECKS,
    clients::CHECKS,
    memory::CHECKS,
    persistence::CHECKS,
    stats::CHECKS,
    rates::CHECKS,
    denials::CHECKS,
    primary::CHECKS,
    replica::CHECKS,
    commands::CHECKS,
    encryption::CHECKS,
];

/// Fields that a test cannot have be anything but 0 or empty, and why.
const ALWAYS_NOTHING: &[(&str, &str)] = &[
    ("uptime_in_days", "a day is too long for a test"),
    ("used_cpu_sys_children", "the server starts no processes"),
    ("used_cpu_user_children", "the server starts no processes"),
    ("cluster_enabled", "there is no cluster; clients look here for it"),
];

/// Checks that run at once: each is a server or two, which mostly wait.
const AT_ONCE: usize = 3;

#[test]
fn every_field_has_a_check() -> Result<()> {
    let wanted = std::env::var("VEDDB_CHECK").unwrap_or_default();
    let chosen = CHECKS.iter().copied().flatten().filter(|(name, _)| name.contains(&wanted));
    let queue: Mutex<VecDeque<&Check>> = Mutex::new(chosen.collect());
    let work = || -> (Seen, Vec<String>) {
        let (mut seen, mut failed) = (Seen::default(), Vec::new());
        loop {
            let next = queue.lock().map_or(None, |mut queue| queue.pop_front());
            let Some((name, check)) = next else { return (seen, failed) };
            match catch_unwind(AssertUnwindSafe(|| check(&mut seen))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed.push(format!("{name}: {error:#}")),
                Err(_) => failed.push(format!("{name} has panicked")),
            }
        }
    };
    let mut seen = Seen::default();
    let mut failed = Vec::new();
    thread::scope(|scope| -> Result<()> {
        for worker in (0..AT_ONCE).map(|_| scope.spawn(work)).collect::<Vec<_>>() {
            let (found, errors) = worker.join().map_err(|_| anyhow!("a check has panicked"))?;
            seen.add(found);
            failed.extend(errors);
        }
        Ok(())
    })?;
    ensure!(failed.is_empty(), "{} checks have failed:\n{}", failed.len(), failed.join("\n"));
    if !wanted.is_empty() {
        return Ok(());
    }
    println!("{} fields are compared", seen.count());
    let (unchecked, mut nothing) = seen.missing();
    ensure!(unchecked.is_empty(), "fields without a check: {unchecked:?}");
    let excused = |name: &str| ALWAYS_NOTHING.iter().any(|(excused, _)| *excused == name);
    ensure!(ALWAYS_NOTHING.iter().all(|(name, _)| nothing.contains(name)), "a field is excused, and need not be");
    nothing.retain(|name| !excused(name));
    ensure!(nothing.is_empty(), "fields of which no check has caused anything: {nothing:?}");
    Ok(())
}
