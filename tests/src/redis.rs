//! A redis-server of a test, to compare with: Debian's, which lies in redis-tools under another name, or the one that
//! `VEDDB_REDIS_SERVER` names.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::Client;

/// How long it may take to answer its first PING.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running redis-server without a disk. Gone when it is dropped.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    port: u16,
    _home: TempDir,
}

impl Redis {
    /// Starts one.
    pub fn start() -> Result<Redis> {
        let home = tempfile::Builder::new().prefix("veddb-redis-").tempdir()?;
        // One program by all its names: what it is called tells it what to be.
        let program = home.path().join("redis-server");
        let from = std::env::var("VEDDB_REDIS_SERVER").unwrap_or_else(|_| "/usr/bin/redis-check-rdb".to_owned());
        symlink(from, &program)?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"];
        let child = Command::new(&program)
            .args(arguments)
            .arg(home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("redis-tools is not installed")?;
        let mut redis = Redis { child, port, _home: home };
        let deadline = Instant::now() + PATIENCE;
        while Client::connect(port).and_then(|mut client| client.run(&["PING"])).is_err() {
            if redis.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("redis-server did not start");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects, speaking this protocol.
    pub fn client(&self, protocol: u8) -> Result<Client> {
        let mut client = Client::connect(self.port)?;
        if protocol == 3 {
            client.ask(&["HELLO", "3"])?;
        }
        Ok(client)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
