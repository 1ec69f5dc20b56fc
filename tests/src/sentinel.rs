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

/// A running sentinel. Gone when it is dropped.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    port: u16,
    home: TempDir,
}

impl Sentinel {
    /// One that watches the primary on this port, and takes it for down after so long; two have to agree.
    pub fn start(primary: u16, down_after: Duration) -> Result<Sentinel> {
        let home = tempfile::Builder::new().prefix("veddb-sentinel-").tempdir()?;
        let program = home.path().join("redis-sentinel");
        symlink("/usr/bin/redis-check-rdb", &program)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let file = home.path().join("sentinel.conf");
        let down_after = down_after.as_millis();
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {NAME} {down_after}\nsentinel failover-timeout {NAME} 10000\n\
             sentinel parallel-syncs {NAME} 2\n",
            home.path().display(),
            home.path().join("log").display(),
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(&program);
        command.arg(&file).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("redis-tools is not installed")?;
        let mut sentinel = Sentinel { child, port, home };
        let deadline = Instant::now() + PATIENCE;
        while Client::connect(port).and_then(|mut client| client.run(&["PING"])).is_err() {
            if sentinel.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("redis-sentinel did not start: {}", sentinel.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(sentinel)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of the primary, as it knows it.
    pub fn primary(&self) -> Result<u16> {
        let found = Client::connect(self.port)?.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
        match found {
            Value::Array(address) => Ok(address.get(1).context("no port")?.expect_text().parse()?),
            other => bail!("no address: {other}"),
        }
    }

    /// How many replicas and other sentinels it sees, of those that are not down.
    pub fn sees(&self) -> Result<(usize, usize)> {
        let mut client = Client::connect(self.port)?;
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
