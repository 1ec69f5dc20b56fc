//! FAILOVER under faults: it ends with one primary whatever is lost, and without FORCE with every acknowledged write.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use veddb_tests::proxy::{Fault, From, Plan};
use veddb_tests::{Options, Proxy, Random, Server, Value, seed, setting};

use super::pair::{ensure_equal, figure, follow, is_in_step, options, until, until_in_step};

/// Two servers, each of which the other finds behind a proxy of its own.
struct Pair {
    primary: Server,
    replica: Server,
    /// In front of the one that is the replica at first.
    proxy: Proxy,
    /// In front of the primary.
    back: Proxy,
}

/// A server that says that it listens where the proxy does.
fn behind(proxy: &Proxy, options: Options) -> Result<Server> {
    let server = options.set("replica-announce-port", proxy.port().to_string()).start()?;
    proxy.set_target(server.port());
    Ok(server)
}

impl Pair {
    /// `repl_timeout` is in seconds.
    fn start(repl_timeout: &str) -> Result<Pair> {
        let options = || options().set("repl-timeout", repl_timeout);
        let (proxy, back) = (Proxy::start(1)?, Proxy::start(1)?);
        let (primary, replica) = (behind(&back, options())?, behind(&proxy, options())?);
        primary.client()?.ask(&["SET", "a", "1"])?;
        follow(&replica, back.port())?;
        let pair = Pair { primary, replica, proxy, back };
        pair.until_online()?;
        Ok(pair)
    }

    /// Returns once both know that the replica has all that the primary has.
    fn until_online(&self) -> Result<()> {
        until_in_step(&self.primary, &self.replica)?;
        until("its being heard of", || Ok(figure(&self.primary, "slave0")?.contains("state=online")))
    }

    /// FAILOVER to the replica, with more words.
    fn hand_over(&self, words: &[&str]) -> Result<Value> {
        let port = self.proxy.port().to_string();
        let mut all = vec!["FAILOVER", "TO", "127.0.0.1", &port];
        all.extend(words);
        self.primary.client()?.ask(&all)
    }

    fn state(&self) -> Result<String> {
        figure(&self.primary, "master_failover_state")
    }

    fn until_over(&self) -> Result<()> {
        until("the end of it", || Ok(self.state()? == "no-failover"))
    }

    /// Which of the two is the primary; an error where not one of them is. The other one follows it.
    fn primary(&self) -> Result<(&Server, &Server)> {
        let roles = (figure(&self.primary, "role")?, figure(&self.replica, "role")?);
        let (primary, replica) = match (roles.0.as_str(), roles.1.as_str()) {
            ("master", "slave") => (&self.primary, &self.replica),
            ("slave", "master") => (&self.replica, &self.primary),
            _ => anyhow::bail!("the roles are {roles:?}"),
        };
        Ok((primary, replica))
    }

    /// The one that has taken over, and the one that follows it; both have the same.
    fn handed_over(&self) -> Result<(&Server, &Server)> {
        self.until_over()?;
        let (primary, replica) = self.primary()?;
        ensure!(primary.port() == self.replica.port(), "it was not handed over");
        until_in_step(primary, replica)?;
        ensure_equal(primary, replica)?;
        Ok((primary, replica))
    }

    /// The one that was the primary is it, takes writes, and the other one follows.
    fn not_handed_over(&self) -> Result<()> {
        self.until_over()?;
        ensure!(self.primary()?.0.port() == self.primary.port(), "it was handed over");
        self.primary.client()?.ask(&["SET", "still", "here"])?;
        until_in_step(&self.primary, &self.replica)?;
        ensure_equal(&self.primary, &self.replica)
    }
}

fn plan(from: From, after_bytes: u64, fault: Fault) -> Plan {
    Plan { from, after_bytes, fault }
}

#[test]
fn a_lost_reply_is_asked_for_again() -> Result<()> {
    for (fault, words) in
        [(Fault::Cut, &["TIMEOUT", "3000"][..]), (Fault::Cut, &[]), (Fault::HalfOpen, &["TIMEOUT", "500"])]
    {
        let pair = Pair::start("2")?;
        // Three times, to be sure.
        (0..3).for_each(|_| pair.proxy.plan(plan(From::Server, 0, fault)));
        pair.hand_over(words)?;
        pair.handed_over().with_context(|| format!("{fault:?} {words:?}"))?;
    }
    Ok(())
}

#[test]
fn a_reply_that_comes_after_the_time_is_waited_for() -> Result<()> {
    let pair = Pair::start("10")?;
    pair.proxy.plan(plan(From::Server, 0, Fault::Delay(Duration::from_millis(700))));
    pair.hand_over(&["TIMEOUT", "20"])?;
    pair.handed_over()?;
    Ok(())
}

/// What the replica lacks is lost, as FORCE says, but kept in a file; and there is one primary.
#[test]
fn a_replica_that_lags_takes_over_only_by_force() -> Result<()> {
    for force in [false, true] {
        let pair = Pair::start("20")?;
        // From some way on nothing reaches the replica, and nobody sees it.
        pair.back.plan(plan(From::Server, 100_000, Fault::HalfOpen));
        let before = pair.back.connections();
        pair.back.cut();
        until("another link", || Ok(pair.back.connections() > before))?;
        pair.until_online()?;
        let mut client = pair.primary.client()?;
        for n in 0..200 {
            client.ask(&["SET", &format!("k{n}"), &"x".repeat(1000)])?;
        }
        ensure!(!is_in_step(&pair.primary, &pair.replica)?);
        pair.hand_over(if force { &["FORCE", "TIMEOUT", "100"] } else { &["TIMEOUT", "100"] })?;
        if !force {
            pair.until_over()?;
            client.ask(&["SET", "still", "here"])?;
            pair.back.cut();
            pair.not_handed_over()?;
            continue;
        }
        let (_, old) = pair.handed_over()?;
        assert_eq!(figure(old, "rollback_files")?, "1");
    }
    Ok(())
}

#[test]
fn what_is_given_up_is_not_carried_out_when_it_comes_late() -> Result<()> {
    let pair = Pair::start("20")?;
    pair.proxy.plan(plan(From::Client, 0, Fault::Delay(Duration::from_secs(2))));
    pair.hand_over(&[])?;
    until("its being asked", || Ok(pair.proxy.taken() > 0))?;
    assert_eq!(pair.state()?, "failover-in-progress");
    let refused = pair.primary.client()?.run(&["REPLICAOF", "NO", "ONE"])?.to_string();
    ensure!(refused.contains("not allowed while failing over"), "{refused}");
    pair.primary.client()?.ask(&["FAILOVER", "ABORT"])?;
    pair.not_handed_over()?;
    // The request itself comes, and the one that took it back.
    until("the late request", || Ok(requests(&pair.replica)? >= 2))?;
    pair.not_handed_over()
}

/// How often a server was asked to be followed.
fn requests(server: &Server) -> Result<u64> {
    let info = server.client()?.info("commandstats")?;
    let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_replica.follow:calls=")?.split(',').next());
    Ok(calls.unwrap_or("0").parse()?)
}

#[test]
fn a_replica_that_nobody_reaches_is_given_up_at_once() -> Result<()> {
    let primary = options().start()?;
    // A port on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let replica = options().set("replica-announce-port", &port).start()?;
    follow(&replica, primary.port())?;
    until_in_step(&primary, &replica)?;
    until("its being heard of", || Ok(figure(&primary, "slave0")?.contains("state=online")))?;
    let mut client = primary.client()?;
    client.ask(&["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "1000"])?;
    until(
        "its being tried",
        || Ok(figure(&primary, "master_link_error").is_ok_and(|error| error.contains("connect"))),
    )?;
    ensure!(client.run(&["SET", "a", "2"])?.to_string().contains("READONLY"));
    client.ask(&["FAILOVER", "ABORT"])?;
    until("the end of it", || Ok(figure(&primary, "master_failover_state")? == "no-failover"))?;
    client.ask(&["SET", "a", "2"])?;
    until_in_step(&primary, &replica)
}

/// Where nobody knows whether the other one has taken over, and it is gone, a person says who is the primary.
#[test]
fn a_person_decides_where_nobody_answers() -> Result<()> {
    let mut pair = Pair::start("20")?;
    pair.proxy.plan(plan(From::Server, 0, Fault::HalfOpen));
    pair.hand_over(&[])?;
    until("its taking over", || Ok(figure(&pair.replica, "role")? == "master"))?;
    let taken = figure(&pair.replica, "term")?;
    pair.replica.kill()?;
    pair.primary.client()?.ask(&["FAILOVER", "ABORT"])?;
    assert_eq!(pair.state()?, "failover-in-progress");
    pair.primary.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    pair.until_over()?;
    pair.primary.client()?.ask(&["SET", "a", "2"])?;
    let promotions = |term: &str| Ok::<u64, anyhow::Error>(u64::from_str_radix(term, 16)? >> 32);
    ensure!(promotions(&figure(&pair.primary, "term")?)? > promotions(&taken)?, "the other one is not the later");
    Ok(())
}

#[test]
fn handing_over_ends_with_one_primary_whatever_happens() -> Result<()> {
    let (seed, rounds) = (seed(), setting("VEDDB_FAILOVER_FAULTS", 4));
    for round in 0..rounds {
        one_round(seed.wrapping_add(round)).with_context(|| format!("round {round} of seed {seed}"))?;
    }
    Ok(())
}

fn one_round(seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let pair = Pair::start("2")?;
    for _ in 0..random.below(3) {
        let delay = Fault::Delay(Duration::from_millis(random.below(1500) as u64));
        let fault = *random.pick(&[Fault::Cut, Fault::Cut, Fault::HalfOpen, Fault::Garbage, delay]);
        let from = *random.pick(&[From::Client, From::Server]);
        pair.proxy.plan(plan(from, random.below(if from == From::Client { 500 } else { 40 }) as u64, fault));
    }
    // Whatever is acknowledged while it goes on is there in the end.
    let mut client = pair.primary.client()?;
    let port = pair.primary.port();
    let writer = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for n in 0..100_000 {
            match client.run(&["SET", &format!("n{n}"), "1"]) {
                Ok(Value::Simple(_)) => acknowledged.push(n),
                _ => break,
            }
        }
        acknowledged
    });
    let timeout = (1 + random.below(300)).to_string();
    pair.hand_over(&["TIMEOUT", &timeout])?;
    if random.one_in(3) {
        std::thread::sleep(Duration::from_millis(random.below(100) as u64));
        let _ = pair.primary.client()?.run(&["FAILOVER", "ABORT"])?;
    }
    pair.until_over()?;
    pair.proxy.cut();
    let (primary, replica) = pair.primary()?;
    if primary.port() == port {
        // It still takes writes: the writer is told to end.
        primary.client()?.ask(&["CLIENT", "KILL", "TYPE", "normal"])?;
    }
    let acknowledged = writer.join().map_err(|_| anyhow::anyhow!("the writer has panicked"))?;
    until_in_step(primary, replica)?;
    ensure_equal(primary, replica)?;
    let mut client = primary.client()?;
    for n in &acknowledged {
        ensure!(client.ask(&["GET", &format!("n{n}")])? != Value::Null, "n{n} of {} is lost", acknowledged.len());
    }
    primary.client()?.ask(&["SET", "a", "2"])?;
    ensure!(replica.client()?.run(&["SET", "a", "2"])?.to_string().contains("READONLY"));
    Ok(())
}
