//! A server process of a test: started on a free port in a directory of its own, stopped with the test.
//!
//! Invariant: when a [`Server`] is dropped its process is gone, and a panic in its log has failed the test.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{Client, Network, Value};

/// How long a server may take to answer its first PING, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    password: Option<String>,
    home: Option<Arc<TempDir>>,
    file: Option<PathBuf>,
    machine: Option<Machine>,
    has_http: bool,
}

/// One of a [`Network`].
#[derive(Debug, Clone)]
struct Machine {
    namespace: String,
    address: String,
}

impl Options {
    /// The defaults, in a fresh directory.
    pub fn new() -> Options {
        Options::default()
    }

    /// Adds a setting: `.set("appendfsync", "everysec")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<OsString>) -> Options {
        self.arguments.push(format!("--{name}").into());
        self.arguments.push(value.into());
        self
    }

    /// Adds `requirepass`, and has the harness use it.
    #[must_use]
    pub fn password(mut self, password: &str) -> Options {
        self.password = Some(password.to_owned());
        self.set("requirepass", password)
    }

    /// Adds a variable to the server's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Options {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Uses the home directory of an earlier server: its data, `data`, and its key, `data.key`.
    #[must_use]
    pub fn home(mut self, home: &Arc<TempDir>) -> Options {
        self.home = Some(Arc::clone(home));
        self
    }

    /// Has the server read this configuration file; what is set here wins over it.
    #[must_use]
    pub fn file(mut self, file: &Path) -> Options {
        self.file = Some(file.to_owned());
        self
    }

    /// Runs the server on this machine of a network, where it listens on the machine's address.
    #[must_use]
    pub fn on(mut self, network: &Network, machine: usize) -> Options {
        let (namespace, address) = (network.namespace(machine), network.address(machine));
        self.machine = Some(Machine { namespace, address: address.clone() });
        self.set("bind", format!("{address} 127.0.0.1")).set("protected-mode", "no")
    }

    /// Gives it an `http-port`.
    #[must_use]
    pub fn http(mut self) -> Options {
        self.has_http = true;
        self
    }

    /// Starts the server and does not wait, for a start that is to take long: [`Server::until_ready`] does.
    pub fn spawn(self) -> Result<Server> {
        let mut server = Server::new(self)?;
        server.take_ports()?;
        server.child = Some(server.spawn()?);
        Ok(server)
    }

    /// Starts the server and waits until it answers.
    pub fn start(self) -> Result<Server> {
        Server::start(self)
    }
}

/// A running server, or one that was stopped and can be started again on its data.
#[derive(Debug)]
pub struct Server {
    options: Options,
    home: Arc<TempDir>,
    child: Option<Child>,
    port: u16,
    http_port: Option<u16>,
}

/// The binary under test: `VEDDB_BIN`, else `veddb` of the release build beside this test.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("VEDDB_BIN") {
        return Ok(path.into());
    }
    let here = std::env::current_exe()?;
    let target = here.ancestors().nth(3).context("a test binary is in target/<profile>/deps")?;
    let path = target.join("release").join("veddb");
    if !path.exists() {
        bail!("{} does not exist: run ./test, or cargo build --release", path.display());
    }
    Ok(path)
}

impl Server {
    fn new(mut options: Options) -> Result<Server> {
        let home = match options.home.take() {
            Some(home) => home,
            None => Arc::new(tempfile::Builder::new().prefix("veddb-test-").tempdir()?),
        };
        Ok(Server { options, home, child: None, port: 0, http_port: None })
    }

    fn start(options: Options) -> Result<Server> {
        let mut server = Server::new(options)?;
        server.begin()?;
        Ok(server)
    }

    /// Waits until a server that was spawned answers.
    pub fn until_ready(&mut self) -> Result<()> {
        if self.wait_until_ready()? { Ok(()) } else { bail!("its port was taken meanwhile; log:\n{}", self.log()) }
    }

    fn take_ports(&mut self) -> Result<()> {
        // Held together, so that they are not the same.
        let (port, http) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        self.port = port.local_addr()?.port();
        self.http_port = self.options.has_http.then(|| http.local_addr().map(|at| at.port())).transpose()?;
        Ok(())
    }

    /// Starts the process again after [`Server::stop`] or [`Server::kill`].
    pub fn restart(&mut self) -> Result<()> {
        self.begin()
    }

    /// The same on the port that it had: others know it by that.
    pub fn restart_there(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.child = Some(self.spawn()?);
            if self.wait_until_ready()? {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("port {} is not free", self.port);
            }
        }
    }

    /// Starts the process and kills it after this time, wherever its start has come to.
    pub fn start_and_kill(&mut self, after: Duration) -> Result<()> {
        self.take_ports()?;
        self.child = Some(self.spawn()?);
        thread::sleep(after);
        self.kill()
    }

    fn begin(&mut self) -> Result<()> {
        for _ in 0..5 {
            // The port is free when it is asked for; should another process take it before the server does, the
            // server ends with a message and the next attempt asks for another.
            self.take_ports()?;
            self.child = Some(self.spawn()?);
            if self.wait_until_ready()? {
                return Ok(());
            }
        }
        bail!("no free port in five attempts; log:\n{}", self.log())
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = match &self.options.machine {
            Some(machine) => {
                // It becomes the server itself, under the same process id.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &machine.namespace]).arg(binary()?);
                command
            }
            None => Command::new(binary()?),
        };
        command
            .arg("server")
            .args(&self.options.file)
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.dir());
        if let Some(port) = self.http_port {
            command.arg("--http-port").arg(port.to_string());
        }
        command.args(&self.options.arguments).envs(self.options.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
    }

    /// Whether the process answers; `false` when another process has its port.
    fn wait_until_ready(&mut self) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let child = self.child.as_mut().context("the server was just started")?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                let log = self.log();
                if log.contains("in use") {
                    return Ok(false);
                }
                bail!("the server ended at its start with {status}; log:\n{log}");
            }
            let pid = child.id();
            if let Ok(mut client) = self.client()
                && matches!(client.run(&["PING"]), Ok(Value::Simple(_)))
                && client.figure("server", "process_id").is_ok_and(|answered| answered == pid.to_string())
            {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        bail!("the server did not answer within {PATIENCE:?}; log:\n{}", self.log())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its `http-port`; 0 where it has none.
    pub fn http_port(&self) -> u16 {
        self.http_port.unwrap_or(0)
    }

    /// The address that it is reached at.
    pub fn host(&self) -> &str {
        self.options.machine.as_ref().map_or("127.0.0.1", |machine| &machine.address)
    }

    /// The process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The directory that holds the data directory, its key and the log; give it to [`Options::home`] to go on there.
    pub fn home(&self) -> &Arc<TempDir> {
        &self.home
    }

    /// The data directory.
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The master key's file, when none was named.
    pub fn key_file(&self) -> PathBuf {
        self.home.path().join("data.key")
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("server.log")
    }

    /// Everything that the server has said so far, over all its starts.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A new connection, authenticated when the server was given a password.
    pub fn client(&self) -> Result<Client> {
        let mut client = Client::connect_to(self.host(), self.port)?;
        if let Some(password) = &self.options.password {
            client.ask(&["AUTH", password])?;
        }
        Ok(client)
    }

    /// A new connection that speaks this protocol.
    pub fn client_speaking(&self, protocol: u8) -> Result<Client> {
        let mut client = self.client()?;
        if protocol != 2 {
            client.ask(&["HELLO", &protocol.to_string()])?;
        }
        Ok(client)
    }

    /// Resident memory in bytes, from /proc.
    pub fn resident(&self) -> Result<u64> {
        let pid = self.pid().context("the server is not running")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP: the process stands still, and nobody is told.
    pub fn pause(&self) -> Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// SIGCONT: it goes on.
    pub fn resume(&self) -> Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        Ok(rustix::process::kill_process(pid.context("the server is not running")?, signal)?)
    }

    /// SIGTERM; the server has to end with status 0.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(rustix::process::Signal::TERM)?;
        let status = self.wait()?;
        if !status.success() {
            bail!("after SIGTERM the server ended with {status}; log:\n{}", self.log());
        }
        Ok(())
    }

    /// Waits for a server that was told to end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the server is not running")?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        child.kill()?;
        child.wait()?;
        bail!("the server did not end within {PATIENCE:?}; log:\n{}", self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let killed = self.kill();
        let log = self.log();
        if thread::panicking() {
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the server's last lines:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
            return;
        }
        killed.expect("a child of this process can be killed");
        assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
    }
}

/// Runs the binary to its end with these arguments: for starts that have to fail. Returns what it printed.
pub fn run_to_end(arguments: &[&str], input: &Path) -> Result<(ExitStatus, String)> {
    let log = tempfile::NamedTempFile::new()?;
    let output = log.reopen()?;
    let mut command = Command::new(binary()?);
    command.arg("server").args(arguments).stdin(File::open(input)?).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn()?;
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, fs::read_to_string(log.path())?));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            bail!("the server did not end within {PATIENCE:?}:\n{}", fs::read_to_string(log.path())?);
        }
        thread::sleep(POLL);
    }
}
