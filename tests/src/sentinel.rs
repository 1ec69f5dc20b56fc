//! A redis-sentinel of a test: Debian's, unmodified.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{Client, Value};

/// How long it may take to answer its first PING.
const PATIENCE: Duration = Duration::from_secs(20);
/// How the primary is called.
pub const NAME: &str = "veddb";

/// What a sentinel watches, and how.
#[derive(Debug, Clone)]
pub struct Watch<'a> {
    /// The address that the sentinel listens on.
    pub own_host: &'a str,
    /// Where the primary is.
    pub primary: (&'a str, u16),
    /// When a server is taken for down.
    pub down_after: Duration,
    /// What a failover may take. After one that came to nothing, twice that passes before the next.
    pub failover_timeout: Duration,
    /// How often it greets the others and asks servers for INFO, where that is not to be every two and every ten seconds. A server
    /// that comes back as a primary is told of another one after four times that, and a question more.
    pub period: Option<Duration>,
}

/// A running sentinel. Gone when it is dropped.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    host: String,
    port: u16,
    home: TempDir,
}

impl Sentinel {
    /// One that watches the primary on this port, and takes it for down after so long; two have to agree.
    pub fn start(primary: u16, down_after: Duration) -> Result<Sentinel> {
        let primary = ("127.0.0.1", primary);
        let failover_timeout = Duration::from_secs(10);
        let own_host = "127.0.0.1";
        Sentinel::watch(&Watch { own_host, primary, down_after, failover_timeout, period: None })
    }

    /// One that watches so; two have to agree.
    pub fn watch(watch: &Watch<'_>) -> Result<Sentinel> {
        let home = tempfile::Builder::new().prefix("veddb-sentinel-").tempdir()?;
        let program = home.path().join("redis-sentinel");
        symlink("/usr/bin/redis-check-rdb", &program)?;
        let host = watch.own_host;
        let port = TcpListener::bind((host, 0))?.local_addr()?.port();
        let file = home.path().join("sentinel.conf");
        let (primary, primary_port) = watch.primary;
        let (down_after, timeout) = (watch.down_after.as_millis(), watch.failover_timeout.as_millis());
        let text = format!(
            "port {port}\nbind {host}\ndir {}\nlogfile {}\nsentinel monitor {NAME} {primary} {primary_port} 2\n\
             sentinel down-after-milliseconds {NAME} {down_after}\nsentinel failover-timeout {NAME} {timeout}\n\
             sentinel parallel-syncs {NAME} 2\n",
            home.path().display(),
            home.path().join("log").display(),
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(&program);
        command.arg(&file).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("redis-tools is not installed")?;
        let mut sentinel = Sentinel { child, host: host.to_owned(), port, home };
        let deadline = Instant::now() + PATIENCE;
        while sentinel.client().and_then(|mut client| client.run(&["PING"])).is_err() {
            if sentinel.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("redis-sentinel did not start: {}", sentinel.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        if let Some(period) = watch.period {
            let period = period.as_millis().to_string();
            sentinel.client()?.ask(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", &period, "INFO-PERIOD", &period])?;
        }
        Ok(sentinel)
    }

    /// A new connection.
    pub fn client(&self) -> Result<Client> {
        Client::connect_to(&self.host, self.port)
    }

    /// The address that it listens on.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of the primary, as it knows it.
    pub fn primary(&self) -> Result<u16> {
        Ok(self.primary_address()?.1)
    }

    /// Where it knows the primary to be.
    pub fn primary_address(&self) -> Result<(String, u16)> {
        let found = self.client()?.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
        match found {
            Value::Array(address) => {
                let [host, port] = address.as_slice() else { bail!("an address of {} parts", address.len()) };
                Ok((host.expect_text().to_owned(), port.expect_text().parse()?))
            }
            other => bail!("no address: {other}"),
        }
    }

    /// How many replicas and other sentinels it sees, of those that are not down.
    pub fn sees(&self) -> Result<(usize, usize)> {
        let mut client = self.client()?;
        let mut up = |what: &str| -> Result<usize> {
            let Value::Array(all) = client.ask(&["SENTINEL", what, NAME])? else {
                bail!("SENTINEL {what} is no array")
            };
            let is_up = |one: &&Value| {
                one.get("flags")
                    .and_then(Value::text)
                    .is_some_and(|flags| !flags.contains("down") && !flags.contains("disc"))
            };
            Ok(all.iter().filter(is_up).count())
        };
        Ok((up("REPLICAS")?, up("SENTINELS")?))
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
