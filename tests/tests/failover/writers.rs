//! Programs of compat/clients that write through Sentinel, and what they say of each write.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::repository;
use veddb_tests::sentinel::NAME;

use super::world::{World, until};

/// Documents that each writes at a time.
const LANES: u64 = 2;
/// Lanes of all programs: two clients, and the one beside a primary that is cut off.
const LANES_ALL: u64 = 2 * LANES + 1;
/// Milliseconds after which a client takes a connection for dead.
const TIMEOUT_MS: u64 = 1000;
/// Milliseconds between two writes of a lane.
const PAUSE_MS: u64 = 1;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged.
    Done,
    /// It was refused, and has not happened.
    Refused,
    /// It may have happened, or may yet.
    Unknown,
}

/// One write of a client, by the clock of [`super::world::now`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) document: u64,
    pub(crate) value: u64,
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) outcome: Outcome,
}

/// What a program has said.
#[derive(Debug, Default)]
struct Said {
    /// The collection that each lane has come to.
    rounds: BTreeMap<u64, String>,
    /// Writes that were begun, by their values.
    begun: BTreeMap<u64, (u64, u64)>,
    ended: Vec<Write>,
    /// Why a write was refused or is unknown, with when; the newest.
    last_trouble: Option<(u64, String)>,
}

/// A program that writes. Ends when it is dropped.
pub(crate) struct Writer {
    /// The client.
    pub(crate) name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    lanes: u64,
}

impl Writer {
    /// The Sentinel clients, each with what it writes among so many documents and waits so many milliseconds for a replica.
    pub(crate) fn start(world: &World, documents: u64, wait_ms: u64) -> Result<Vec<Writer>> {
        let host = |sentinel: &veddb_tests::sentinel::Sentinel| json!([sentinel.host(), sentinel.port()]);
        let sentinels: Vec<Json> = world.sentinels.iter().map(host).collect();
        let one = |(number, name): (u64, &'static str)| {
            let lanes: Vec<u64> = (number * LANES..(number + 1) * LANES).collect();
            let mut options = options(&lanes, documents, wait_ms, 0);
            options["sentinels"] = json!(sentinels);
            let program = repository().join("compat/clients").join(name).join("failover");
            Writer::run(name, Command::new(program), &options, LANES)
        };
        [(0, "redis-py"), (1, "ioredis")].into_iter().map(one).collect()
    }

    /// A client on the machine of one server that writes to this server only. Its values are those after `from`.
    pub(crate) fn beside(world: &World, at: usize, documents: u64, wait_ms: u64, from: u64) -> Result<Option<Writer>> {
        let Some(network) = &world.network else { return Ok(None) };
        let mut options = options(&[2 * LANES], documents, wait_ms, from);
        options["server"] = json!([world.servers[at].host(), world.servers[at].port()]);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &network.namespace(at)]);
        command.arg(repository().join("compat/clients/redis-py/failover"));
        Writer::run("redis-py", command, &options, 1).map(Some)
    }

    fn run(name: &'static str, mut command: Command, options: &Json, lanes: u64) -> Result<Writer> {
        command.arg(options.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("compat/clients/{name}/failover"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("it was asked for")?);
        let said = Arc::new(Mutex::new(Said::default()));
        let hearing = Arc::clone(&said);
        thread::spawn(move || hear(output, &hearing));
        Ok(Writer { name, child, input, said, lanes })
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it write to this collection, or rest where there is none, and returns once each lane has come to that.
    pub(crate) fn go_on_with(&mut self, collection: &str) -> Result<()> {
        let input = self.input.as_mut().context("it was not ended")?;
        writeln!(input, "{collection}").with_context(|| format!("{} has ended", self.name))?;
        let name = self.name;
        until(&format!("{name} coming to {collection:?}"), || {
            let ended = self.child.try_wait()?;
            let said = self.said();
            let there = said.rounds.values().filter(|round| *round == collection).count() as u64;
            Ok(there == self.lanes && ended.is_none())
        })
        .with_context(|| format!("{:?}", self.trouble()))
    }

    /// Writes called after this moment that were acknowledged: how many, and when the first one was.
    pub(crate) fn done_since(&self, moment: u64) -> (usize, Option<u64>) {
        let said = self.said();
        let done = said.ended.iter().filter(|write| write.called > moment && write.outcome == Outcome::Done);
        let returned: Vec<u64> = done.map(|write| write.returned).collect();
        (returned.len(), returned.into_iter().min())
    }

    /// When the first write called after this moment was refused.
    pub(crate) fn refused_since(&self, moment: u64) -> Option<u64> {
        let said = self.said();
        let refused = said.ended.iter().filter(|write| write.called > moment && write.outcome == Outcome::Refused);
        refused.map(|write| write.returned).min()
    }

    /// Why the last write that was not acknowledged was not, and when that was.
    pub(crate) fn trouble(&self) -> Option<(u64, String)> {
        self.said().last_trouble.clone()
    }

    /// The writes since this was asked last; those that were begun and not ended are unknown.
    pub(crate) fn take(&self) -> Vec<Write> {
        let mut said = self.said();
        let begun = std::mem::take(&mut said.begun).into_iter();
        let open = begun.map(|(value, (document, called))| Write {
            document,
            value,
            called,
            returned: u64::MAX,
            outcome: Outcome::Unknown,
        });
        let open: Vec<Write> = open.collect();
        std::mem::take(&mut said.ended).into_iter().chain(open).collect()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options(lanes: &[u64], documents: u64, wait_ms: u64, from: u64) -> Json {
    json!({
        "name": NAME, "lanes": lanes, "of": LANES_ALL, "from": from, "documents": documents, "wait_ms": wait_ms,
        "timeout_ms": TIMEOUT_MS, "pause_ms": PAUSE_MS,
    })
}

/// Keeps what a program says until it ends.
fn hear(output: ChildStdout, said: &Mutex<Said>) {
    for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
        // What is not an object is said by whatever started the program.
        let understood = understand(&line, &mut said.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = understood {
            eprintln!("{line}: {error:#}");
        }
    }
}

fn understand(line: &str, said: &mut Said) -> Result<()> {
    let line: Json = serde_json::from_str(line)?;
    let number = |name: &str| line.get(name).and_then(Json::as_u64).with_context(|| format!("no {name}"));
    let text = |name: &str| line.get(name).and_then(Json::as_str).with_context(|| format!("no {name}"));
    let at = number("at")?;
    let outcome = match text("event")? {
        "round" => {
            said.rounds.insert(number("lane")?, text("round")?.to_owned());
            return Ok(());
        }
        "invoke" => {
            let before = said.begun.insert(number("value")?, (number("document")?, at));
            ensure!(before.is_none(), "a value that was written before");
            return Ok(());
        }
        "ok" => Outcome::Done,
        "fail" => Outcome::Refused,
        _ => Outcome::Unknown,
    };
    if outcome != Outcome::Done {
        said.last_trouble = Some((at, text("why")?.to_owned()));
    }
    let value = number("value")?;
    let (document, called) = said.begun.remove(&value).context("it was not begun")?;
    said.ended.push(Write { document, value, called, returned: at, outcome });
    Ok(())
}
