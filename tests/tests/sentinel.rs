//! An unmodified redis-sentinel and VedDB: whoever is killed is replaced, and what was acknowledged by two stays.
//!
//! Three sentinels, a primary, two replicas. Writers find the primary through the sentinels, write with WAIT 1 under
//! `min-replicas-to-write 1`, and read; each document's history has to be linearizable.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use veddb_tests::linear::{Action, Operation, is_linearizable};
use veddb_tests::sentinel::Sentinel;
use veddb_tests::{Client, Options, Random, Server, Value, seed, setting, until};

/// When a server is taken for down.
const DOWN_AFTER: Duration = Duration::from_millis(1000);
/// Clients that write.
const WRITERS: u64 = 4;
/// Documents that they write.
const DOCUMENTS: usize = 40;

/// Servers and sentinels.
struct World {
    servers: Vec<Server>,
    sentinels: Vec<Sentinel>,
    _homes: Vec<TempDir>,
}

impl World {
    fn start() -> Result<World> {
        let (mut servers, mut homes) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let home = tempfile::Builder::new().prefix("veddb-node-").tempdir()?;
            let file = home.path().join("veddb.conf");
            let text = "min-replicas-to-write 1\nmin-replicas-max-lag 3\nrepl-timeout 5\nrepl-ping-replica-period 1\n";
            std::fs::write(&file, format!("{text}enable-debug-command yes\n"))?;
            servers.push(Options::new().file(&file).start()?);
            homes.push(home);
        }
        for replica in &servers[1..] {
            replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &servers[0].port().to_string()])?;
            replica.client()?.ask(&["CONFIG", "REWRITE"])?;
        }
        until("two replicas", || Ok(servers[0].client()?.figure("replication", "min_slaves_good_slaves")? == "2"))?;
        let sentinels = (0..3).map(|_| Sentinel::start(servers[0].port(), DOWN_AFTER)).collect::<Result<_>>()?;
        let world = World { servers, sentinels, _homes: homes };
        world.until_settled()?;
        Ok(world)
    }

    /// Returns once all sentinels agree on the primary and see all others, and the replicas follow it.
    fn until_settled(&self) -> Result<()> {
        let settled = until("all being seen", || {
            let primary = self.sentinels[0].primary()?;
            for sentinel in &self.sentinels {
                if sentinel.primary()? != primary || sentinel.sees()? != (2, 2) {
                    return Ok(false);
                }
            }
            let at = self.servers.iter().position(|server| server.port() == primary).context("an unknown primary")?;
            Ok(self.servers[at].client()?.figure("replication", "min_slaves_good_slaves")? == "2")
        });
        settled.with_context(|| {
            let told = self.servers.iter().map(|server| {
                let info = server.client().and_then(|mut client| client.info("replication"));
                format!("{}: {}", server.port(), info.unwrap_or_else(|error| error.to_string()))
            });
            told.collect::<Vec<_>>().join("\n") + &self.sentinels[0].log()
        })
    }

    fn primary(&self) -> Result<usize> {
        let port = self.sentinels[0].primary()?;
        self.servers.iter().position(|server| server.port() == port).context("an unknown primary")
    }
}

/// What the writers have done.
#[derive(Default)]
struct History {
    clock: AtomicU64,
    /// By document.
    operations: Mutex<BTreeMap<usize, Vec<Operation>>>,
    acknowledged: AtomicU64,
    /// The port of the primary that was killed, and when.
    killed: Mutex<Option<(u16, Instant)>>,
    /// How long after that another one acknowledged a write.
    resumed: Mutex<Option<Duration>>,
}

impl History {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    /// A write was acknowledged by the primary on this port.
    fn acknowledge(&self, port: u16) {
        self.acknowledged.fetch_add(1, SeqCst);
        let killed = *self.killed.lock().unwrap();
        if let Some((_, at)) = killed.filter(|(killed, _)| *killed != port) {
            self.resumed.lock().unwrap().get_or_insert_with(|| at.elapsed());
        }
    }

    fn note(&self, document: usize, operation: Operation) {
        self.operations.lock().unwrap().entry(document).or_default().push(operation);
    }
}

/// A client that finds the primary through the sentinels, and writes.
struct Writer {
    sentinels: Vec<u16>,
    history: Arc<History>,
    over: Arc<AtomicBool>,
    random: Random,
    values: u64,
    /// The primary's.
    port: u16,
}

impl Writer {
    fn run(mut self) {
        let mut client: Option<Client> = None;
        while !self.over.load(SeqCst) {
            let Some(connected) = client.as_mut() else {
                client = self.connect();
                if client.is_none() {
                    thread::sleep(Duration::from_millis(20));
                }
                continue;
            };
            if !self.step(connected) {
                client = None;
            }
        }
    }

    fn connect(&mut self) -> Option<Client> {
        let port = *self.random.pick(&self.sentinels);
        let mut asked = Client::connect(port).ok()?;
        let Value::Array(address) = asked.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "veddb"]).ok()? else {
            return None;
        };
        self.port = address.get(1)?.text()?.parse().ok()?;
        let mut client = Client::connect(self.port).ok()?;
        client.set_timeout(Duration::from_secs(2)).ok()?;
        // As a Sentinel client does before it trusts the address.
        let role = client.ask(&["ROLE"]).ok()?;
        (role.expect_array().first()?.text()? == "master").then_some(client)
    }

    /// One write, and whether the connection is still good.
    fn step(&mut self, client: &mut Client) -> bool {
        self.values += WRITERS;
        let (document, value) = (self.random.below(DOCUMENTS), self.values);
        let called = self.history.tick();
        let set = ["DOC.SET".to_owned(), "d".to_owned(), document.to_string(), format!(r#"{{"v":{value}}}"#)];
        let written = client.run(&set);
        let refused = matches!(&written, Ok(Value::Error(_)));
        if refused {
            // It did not happen: READONLY, NOREPLICAS and LOADING are said before anything is done.
            thread::sleep(Duration::from_millis(5));
            return false;
        }
        let synced = written.is_ok() && matches!(client.run(&["WAIT", "1", "1000"]), Ok(Value::Integer(1..)));
        let returned = synced.then(|| self.history.tick());
        self.history.note(document, Operation { action: Action::Write(value), called, returned });
        if synced {
            self.history.acknowledge(self.port);
        }
        synced
    }
}

fn start_writers(world: &World, history: &Arc<History>, seed: u64, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let sentinels: Vec<u16> = world.sentinels.iter().map(Sentinel::port).collect();
    let one = |number: u64| {
        let writer = Writer {
            sentinels: sentinels.clone(),
            history: Arc::clone(history),
            over: Arc::clone(over),
            random: Random::new(seed.wrapping_add(number)),
            port: 0,
            values: number + 1_000_000 * (history.tick() + 1),
        };
        thread::spawn(move || writer.run())
    };
    (0..WRITERS).map(one).collect()
}

/// Reads every document, as the last thing that happens.
fn read_all(world: &World, history: &History) -> Result<()> {
    let mut client = world.servers[world.primary()?].client()?;
    for document in 0..DOCUMENTS {
        let called = history.tick();
        let found = client.ask(&["DOC.GET", "d", &document.to_string()])?;
        let value = found.text().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        let action = Action::Read(value.and_then(|value| value.get("v").and_then(serde_json::Value::as_u64)));
        history.note(document, Operation { action, called, returned: Some(history.tick()) });
    }
    Ok(())
}

#[test]
fn nothing_that_two_have_is_lost_when_the_primary_is_killed() -> Result<()> {
    let (seed, failovers) = (seed(), setting("VEDDB_FAILOVERS", 1));
    let mut random = Random::new(seed);
    let mut world = World::start()?;
    let mut times_ms = Vec::new();
    let mut acknowledged = 0;
    for round in 0..failovers {
        // Its documents are its own, so that histories stay short.
        let (history, over) = (Arc::new(History::default()), Arc::new(AtomicBool::new(false)));
        world.servers[world.primary()?].client()?.run(&["DOC.DROP", "d"])?;
        let writers = start_writers(&world, &history, random.number(), &over);
        until("writes", || Ok(history.acknowledged.load(SeqCst) > 20))?;
        thread::sleep(Duration::from_millis(random.below(300) as u64));
        let killed = world.primary()?;
        let port = world.servers[killed].port();
        world.servers[killed].kill()?;
        *history.killed.lock().unwrap() = Some((port, Instant::now()));
        until("another primary that takes writes", || Ok(history.resumed.lock().unwrap().is_some()))?;
        let resumed = history.resumed.lock().unwrap().unwrap_or_default();
        times_ms.push(resumed.as_millis() as u64);
        // It comes back as the primary that it was, and is told.
        world.servers[killed].restart_there()?;
        world.until_settled().with_context(|| format!("round {round} of seed {seed}"))?;
        over.store(true, SeqCst);
        writers.into_iter().for_each(|writer| writer.join().expect("a writer panicked"));
        read_all(&world, &history)?;
        acknowledged += history.acknowledged.load(SeqCst);
        for (document, operations) in history.operations.lock().unwrap().iter() {
            ensure!(
                is_linearizable(operations),
                "document {document} of round {round} of seed {seed} has lost a write: {operations:?}"
            );
        }
        let primary = world.primary()?;
        until("equal digests", || {
            let digests: Vec<Value> =
                world.servers.iter().map(|server| server.client()?.ask(&["DEBUG", "DIGEST"])).collect::<Result<_>>()?;
            Ok(digests.iter().all(|digest| *digest == digests[primary]))
        })?;
    }
    times_ms.sort_unstable();
    let at = |share: f64| times_ms[((times_ms.len() - 1) as f64 * share) as usize];
    println!(
        "{failovers} failovers, {acknowledged} acknowledged writes; from the kill to the first acknowledged write, ms: least \
         {}, median {}, p90 {}, most {}",
        at(0.0),
        at(0.5),
        at(0.9),
        at(1.0)
    );
    Ok(())
}
