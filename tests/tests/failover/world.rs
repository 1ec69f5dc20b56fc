//! Three servers, three sentinels, and what can happen to a server.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use veddb_tests::sentinel::{Sentinel, Watch};
pub(crate) use veddb_tests::until;
use veddb_tests::{Network, Options, Server, setting};

/// When a server is taken for down.
const DOWN_AFTER_MS: u64 = 1000;
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(5);
/// With Sentinel's own periods most of a run would be spent on waiting until a primary that came back is told that it is none any more.
const PERIOD: Duration = Duration::from_millis(500);
const SERVERS: usize = 3;

/// The monotonic clock of the machine, in nanoseconds, which the clients' programs read as well.
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What happens to a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// kill -9.
    Kill,
    /// Its cable is pulled; without a network of its own it is stopped.
    Cut,
}

/// Servers and sentinels.
pub(crate) struct World {
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Sentinel>,
    // After the servers, which run in it.
    pub(crate) network: Option<Network>,
    _homes: Vec<TempDir>,
}

impl World {
    /// Starts all of them, with these lines in the servers' configuration.
    pub(crate) fn start(settings: &str) -> Result<World> {
        let network = Network::start(SERVERS);
        let (mut servers, mut homes) = (Vec::new(), Vec::new());
        for at in 0..SERVERS {
            let home = tempfile::Builder::new().prefix("veddb-node-").tempdir()?;
            let file = home.path().join("veddb.conf");
            // Where Sentinel has roles kept.
            let own = "repl-timeout 5\nrepl-ping-replica-period 1\nenable-debug-command yes\n";
            std::fs::write(&file, format!("{own}{settings}"))?;
            let options = Options::new().file(&file);
            servers.push(network.iter().fold(options, |options, network| options.on(network, at)).start()?);
            homes.push(home);
        }
        let (host, port) = (servers[0].host(), servers[0].port());
        for replica in &servers[1..] {
            replica.client()?.ask(&["REPLICAOF", host, &port.to_string()])?;
            replica.client()?.ask(&["CONFIG", "REWRITE"])?;
        }
        let own_host = network.as_ref().map_or("127.0.0.1".to_owned(), Network::own_address);
        let watch = Watch {
            own_host: &own_host,
            primary: (host, port),
            down_after: Duration::from_millis(setting("VEDDB_DOWN_AFTER_MS", DOWN_AFTER_MS)),
            failover_timeout: FAILOVER_TIMEOUT,
            period: Some(PERIOD),
        };
        let sentinels = (0..3).map(|_| Sentinel::watch(&watch)).collect::<Result<_>>()?;
        let world = World { servers, sentinels, network, _homes: homes };
        world.until_settled()?;
        Ok(world)
    }

    /// Returns once all sentinels agree on the primary and see all others, and the replicas follow it.
    pub(crate) fn until_settled(&self) -> Result<()> {
        let settled = until("all being seen", || {
            let primary = self.sentinels[0].primary_address()?;
            for sentinel in &self.sentinels {
                if sentinel.primary_address()? != primary || sentinel.sees()? != (SERVERS - 1, 2) {
                    return Ok(false);
                }
            }
            let mut client = self.servers[self.primary()?].client()?;
            let is_online =
                |at| client.figure("replication", &format!("slave{at}")).map(|it| it.contains("state=online"));
            let mut online = (0..SERVERS - 1).map(is_online);
            Ok(online.all(|it| it.unwrap_or(false)))
        });
        settled.with_context(|| self.told())
    }

    /// Returns once all sentinels agree on another primary than this one, and the third server follows it.
    pub(crate) fn until_taken_over(&self, harmed: usize) -> Result<()> {
        let taken = until("another primary that all agree on", || {
            let primary = self.primary()?;
            let address = self.sentinels[0].primary_address()?;
            for sentinel in &self.sentinels {
                if sentinel.primary_address()? != address {
                    return Ok(false);
                }
            }
            let follows = || -> Result<bool> {
                let mut client = self.servers[primary].client()?;
                Ok(client.info("replication")?.contains("state=online"))
            };
            Ok(primary != harmed && follows()?)
        });
        taken.with_context(|| self.told())
    }

    /// How often the first sentinel has come to know of another primary.
    pub(crate) fn switches(&self) -> usize {
        self.sentinels[0].log().matches("+switch-master").count()
    }

    /// Which of the servers is the primary, as the first sentinel says.
    pub(crate) fn primary(&self) -> Result<usize> {
        let (host, port) = self.sentinels[0].primary_address()?;
        let found = self.servers.iter().position(|server| server.host() == host && server.port() == port);
        found.context("an unknown primary")
    }

    /// Has this happen to a server.
    pub(crate) fn harm(&mut self, at: usize, harm: Harm) -> Result<()> {
        match (harm, &self.network) {
            (Harm::Kill, _) => self.servers[at].kill(),
            (Harm::Cut, Some(network)) => network.cut(at),
            (Harm::Cut, None) => self.servers[at].pause(),
        }
    }

    /// Has it come back.
    pub(crate) fn heal(&mut self, at: usize, harm: Harm) -> Result<()> {
        match (harm, &self.network) {
            (Harm::Kill, _) => self.servers[at].restart_there(),
            (Harm::Cut, Some(network)) => network.heal(at),
            (Harm::Cut, None) => self.servers[at].resume(),
        }
    }

    /// What servers and the first sentinel say, for whoever looks for the reason of something.
    pub(crate) fn told(&self) -> String {
        let told = self.servers.iter().map(|server| {
            let info = server.client().and_then(|mut client| client.info("replication"));
            format!("{}:{}: {}", server.host(), server.port(), info.unwrap_or_else(|error| error.to_string()))
        });
        let log = self.sentinels[0].log();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("{}\n{}", told.collect::<Vec<_>>().join("\n"), tail.join("\n"))
    }
}
