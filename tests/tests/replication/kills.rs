//! kill -9 of primary and replica at random moments: they find each other again, and are equal.

use std::time::Duration;

use anyhow::{Context, Result};
use veddb_tests::{Proxy, Random, Server, seed, setting};

use super::load::{Writer, write};
use super::pair::{ensure_equal, follow, options, until_in_step};

#[test]
fn who_is_killed_comes_back_equal() -> Result<()> {
    let (seed, kills) = (seed(), setting("VEDDB_REPLICATION_KILLS", 3));
    let mut random = Random::new(seed);
    let mut primary = options().start()?;
    write(&mut primary.client()?, &mut random, 1500)?;
    // In front of the primary, whose port is another one after each start.
    let proxy = Proxy::start(primary.port())?;
    let proxied = |options: veddb_tests::Options| options.set("replicaof", format!("127.0.0.1 {}", proxy.port()));
    let mut replica = proxied(options()).start()?;
    for round in 0..kills {
        for kills_primary in [false, true] {
            if random.one_in(2) {
                // During a full synchronisation.
                let told = primary.client()?.ask(&["REPLICA.SYNC", "ALL"]);
                told.with_context(|| format!("round {round} of seed {seed}"))?;
            }
            let writer = Writer::start(&primary, random.number())?;
            std::thread::sleep(Duration::from_millis(random.below(600) as u64));
            let killed: &mut Server = if kills_primary { &mut primary } else { &mut replica };
            killed.kill()?;
            drop(writer);
            killed.restart()?;
            proxy.set_target(primary.port());
            until_in_step(&primary, &replica).with_context(|| format!("round {round} of seed {seed}"))?;
            ensure_equal(&primary, &replica).with_context(|| format!("round {round} of seed {seed}"))?;
        }
    }
    // The role of one that was started by hand is its own affair.
    follow(&replica, proxy.port())
}
