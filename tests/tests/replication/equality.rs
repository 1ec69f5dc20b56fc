//! A replica is equal to its primary, whatever was done to the link at any step of handshake, snapshot and stream.

use std::time::Duration;

use anyhow::{Context, Result};
use veddb_tests::proxy::{Fault, From, Plan};
use veddb_tests::{Proxy, Random, Server, seed, setting};

use super::load::{Writer, write};
use super::pair::{ensure_equal, follow, options, until, until_in_step};

/// Bytes of what a replica says until it hears the first reply, about: faults are put there often.
const HANDSHAKE_BYTES: usize = 500;

#[test]
fn a_replica_is_equal_whatever_happens_to_the_link() -> Result<()> {
    let (seed, runs) = (seed(), setting("VEDDB_REPLICATION_RUNS", 6));
    let mut faults = 0;
    for run in 0..runs {
        faults += one_run(seed.wrapping_add(run)).with_context(|| format!("run {run} of seed {seed}"))?;
    }
    println!("{runs} runs, {faults} faults");
    Ok(())
}

/// How many faults were taken.
fn one_run(seed: u64) -> Result<u64> {
    let mut random = Random::new(seed);
    let primary = options().start()?;
    let requests = 200 + random.below(1500);
    write(&mut primary.client()?, &mut random, requests)?;
    // Bytes that a link without faults would bring, about.
    let bytes = 20_000 + random.below(400_000);
    let proxy = Proxy::start(primary.port())?;
    let planned = 1 + random.below(5);
    (0..planned).for_each(|_| proxy.plan(plan(&mut random, bytes)));
    let replica = options().start()?;
    follow(&replica, proxy.port())?;
    let writer = Writer::start(&primary, random.number())?;
    until("the faults being over", || {
        // A link may carry less than its fault waits for.
        std::thread::sleep(Duration::from_millis(random.below(1500) as u64));
        proxy.cut();
        Ok(proxy.planned() == 0)
    })?;
    drop(writer);
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica)?;
    // And it goes on.
    write(&mut primary.client()?, &mut random, 50)?;
    until_in_step(&primary, &replica)?;
    ensure_equal(&primary, &replica)?;
    Ok(planned as u64)
}

fn plan(random: &mut Random, bytes: usize) -> Plan {
    let from = *random.pick(&[From::Client, From::Server, From::Server]);
    let most = match (from, random.below(3)) {
        (From::Client, _) => HANDSHAKE_BYTES,
        (From::Server, 0) => 64,
        (From::Server, _) => bytes,
    };
    let delay = Fault::Delay(Duration::from_millis(random.below(3000) as u64));
    let fault = *random.pick(&[Fault::Cut, Fault::Cut, Fault::HalfOpen, Fault::Garbage, delay]);
    Plan { from, after_bytes: random.below(most) as u64, fault }
}

#[test]
fn a_chain_of_replicas_is_equal() -> Result<()> {
    let mut random = Random::new(seed());
    let servers: Vec<Server> = (0..3).map(|_| options().start()).collect::<Result<_>>()?;
    write(&mut servers[0].client()?, &mut random, 500)?;
    follow(&servers[1], servers[0].port())?;
    follow(&servers[2], servers[1].port())?;
    let writer = Writer::start(&servers[0], random.number())?;
    until("the last one following", || Ok(servers[2].client()?.figure("replication", "master_link_status")? == "up"))?;
    drop(writer);
    for replica in &servers[1..] {
        until_in_step(&servers[0], replica)?;
        ensure_equal(&servers[0], replica)?;
    }
    // Messages and keyspace events go down the chain.
    let mut listener = servers[2].client()?;
    listener.ask(&["SUBSCRIBE", "news", "__keyevent@0__:set"])?;
    listener.read()?;
    let mut client = servers[0].client()?;
    client.ask(&["CONFIG", "SET", "notify-keyspace-events", "KEA"])?;
    client.ask(&["PUBLISH", "news", "hello"])?;
    client.ask(&["SET", "a", "1"])?;
    assert_eq!(listener.read()?.to_string().matches("hello").count(), 1);
    assert!(listener.read()?.to_string().contains("__keyevent@0__:set"));
    Ok(())
}
