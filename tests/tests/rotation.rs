//! Rotations of the data key in the real server: `kill -9` at every step and at random moments under load, a disk that runs
//! full, another master key, and what an old keyring opens afterwards.
//!
//! `VEDDB_ROTATION_KILLS` (6; by hand 300) kills at random moments. `VEDDB_SEED` repeats the choices, though not the moments.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;
use veddb_tests::server::binary;
use veddb_tests::{Client, Options, Random, Server, SmallDisk, Value, seed, setting};

const WRITERS: usize = 4;
/// Ids of one writer.
const IDS: usize = 200;
/// Documents that stay as they are.
const BASE: usize = 3000;
const COLLECTION: &str = "load";
const PATIENCE: Duration = Duration::from_secs(120);

fn document(id: &str, number: u64) -> String {
    format!(r#"{{"_id":"{id}","n":{number},"g":{},"fill":"{}"}}"#, number % 7, "x".repeat(number as usize % 300))
}

fn server() -> Result<Server> {
    // Small, so that there are checkpoints, segments and evicted pages all the time.
    let server = Options::new()
        .set("log-segment-size", "1mb")
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        // Re-sealed each time, so it must not grow with the rounds.
        .set("changes-log-size", "3mb")
        .start()?;
    let mut client = server.client()?;
    for part in 0..BASE / 500 {
        let mut request = vec!["DOC.INSERT".to_owned(), COLLECTION.to_owned()];
        request.extend((part * 500..(part + 1) * 500).map(|at| document(&format!("base-{at}"), at as u64)));
        client.ask(&request)?;
    }
    client.ask(&["IDX.CREATE", COLLECTION, "by_g", r#"{"g":1,"n":-1}"#, "SYNC"])?;
    Ok(server)
}

fn status(client: &mut Client) -> Result<BTreeMap<String, String>> {
    let Value::Array(items) = client.ask(&["KEY.STATUS"])? else { bail!("not a map") };
    let pairs = items.chunks(2).map(|pair| (pair[0].expect_text().to_owned(), pair[1].to_string()));
    Ok(pairs.collect())
}

fn state(client: &mut Client) -> Result<String> {
    client.figure("encryption", "rotation_state")
}

/// Waits until the rotation has come to an end by itself.
fn wait_until_completed(client: &mut Client) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match state(client)?.as_str() {
            "completed" => return Ok(()),
            "re-encrypting" if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            other => bail!("the rotation is {other}: {:?}", status(client)?),
        }
    }
}

/// The keys that records are under, and how many.
fn keys(client: &mut Client) -> Result<Vec<(i64, i64)>> {
    let list = client.ask(&["KEY.LIST"])?;
    let of = |key: &Value, at: usize| match key {
        Value::Array(members) => members[at].expect_integer(),
        other => panic!("{other}"),
    };
    Ok(list.expect_array().iter().map(|key| (of(key, 1), of(key, 7))).collect())
}

/// One client's documents, which no other client touches, and a counter that only grows.
struct Writer {
    name: usize,
    random: Random,
    counter: u64,
    /// The number that each document was given last, and its version.
    there: BTreeMap<String, (u64, i64)>,
    pending: Option<(String, Option<u64>)>,
    acknowledged: u64,
    /// What the counter's document says, and whether one more may have happened.
    counted: u64,
    counting: bool,
}

impl Writer {
    fn some(random: &mut Random) -> Vec<Writer> {
        let writer = |name| Writer {
            name,
            random: Random::new(random.number()),
            counter: 0,
            there: BTreeMap::new(),
            pending: None,
            acknowledged: 0,
            counted: 0,
            counting: false,
        };
        (0..WRITERS).map(writer).collect()
    }

    fn counter_id(&self) -> String {
        format!("count-{}", self.name)
    }

    /// Writes until the server is gone.
    fn load(&mut self, client: &mut Client) -> Result<()> {
        loop {
            if self.random.one_in(4) {
                let filter = format!(r#"{{"_id":"{}"}}"#, self.counter_id());
                let request = ["DOC.UPDATE", "counters", &filter, r#"{"$inc":{"v":1}}"#, "UPSERT"];
                self.counting = true;
                let Ok(reply) = client.run(&request) else { return Ok(()) };
                if let Value::Error(message) = reply {
                    bail!("{message}");
                }
                (self.counting, self.counted) = (false, self.counted + 1);
                self.acknowledged += 1;
                continue;
            }
            self.counter += 1;
            let number = self.counter;
            let id = format!("{}-{}", self.name, self.random.below(IDS));
            let text = document(&id, number);
            let known = self.there.get(&id).map(|(_, version)| version.to_string());
            let (request, change): (Vec<&str>, _) = match (&known, self.random.below(5)) {
                (Some(_), 0) => (vec!["DOC.DEL", COLLECTION, &id], None),
                // Its version is known, so this must not be in conflict, whatever became of the record below.
                (Some(version), 1 | 2) => (vec!["DOC.SET", COLLECTION, &id, &text, "IFVER", version], Some(number)),
                _ => (vec!["DOC.SET", COLLECTION, &id, &text, "IFVER", known.as_deref().unwrap_or("0")], Some(number)),
            };
            self.pending = Some((id.clone(), change));
            let Ok(reply) = client.run(&request) else { return Ok(()) };
            match reply {
                Value::Integer(answer) => self.take(answer),
                other => bail!("{other} (sent: {})", request.join(" ")),
            }
        }
    }

    fn take(&mut self, version: i64) {
        let Some((id, change)) = self.pending.take() else { return };
        match change {
            Some(number) => self.there.insert(id, (number, version)),
            None => self.there.remove(&id),
        };
        self.acknowledged += 1;
    }

    /// Compares with what is there, and settles what was pending when the server went.
    fn settle(&mut self, found: &BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
        let prefix = format!("{}-", self.name);
        let own: BTreeMap<&String, u64> =
            found.iter().filter(|(id, _)| id.starts_with(&prefix)).map(|(id, number)| (id, *number)).collect();
        if let Some((id, number)) = &self.pending
            && own.get(id).copied() == *number
        {
            let version = self.there.get(id).map_or(1, |(_, version)| version + 1);
            self.take(version);
        }
        self.pending = None;
        for (id, (number, _)) in &self.there {
            assert_eq!(own.get(id), Some(number), "writer {}: the acknowledged write of {id} is lost", self.name);
        }
        assert_eq!(own.len(), self.there.len(), "writer {}: what was deleted, or never written, is there", self.name);
        let counted = counts.get(&self.counter_id()).copied().unwrap_or_default();
        let may = self.counted + u64::from(self.counting);
        assert!(
            (self.counted..=may).contains(&counted),
            "writer {}: {counted} counted, {}..={may}",
            self.name,
            self.counted
        );
        (self.counted, self.counting) = (counted, false);
    }
}

/// Runs the load, and `meanwhile`, at whose end the server is killed.
fn under_load<T>(
    server: &mut Server,
    writers: &mut [Writer],
    meanwhile: impl FnOnce(&Server) -> Result<T>,
) -> Result<T> {
    thread::scope(|scope| -> Result<T> {
        let mut loads = Vec::new();
        for writer in writers {
            let mut client = server.client()?;
            loads.push(scope.spawn(move || writer.load(&mut client)));
        }
        let outcome = meanwhile(server);
        server.kill()?;
        loads.into_iter().try_for_each(|load| load.join().expect("a writer does not panic"))?;
        outcome
    })
}

fn numbers(client: &mut Client, collection: &str, member: &str) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for text in client.ask(&["DOC.FIND", collection, "{}"])?.expect_array() {
        let parsed: Json = serde_json::from_str(text.expect_text())?;
        let id = parsed["_id"].as_str().context("no _id")?.to_owned();
        let number = parsed[member].as_u64().context("no number")?;
        if collection == COLLECTION {
            assert_eq!(parsed, serde_json::from_str::<Json>(&document(&id, number))?, "not what was written");
        }
        assert!(found.insert(id, number).is_none(), "an id twice");
    }
    Ok(found)
}

/// All that was acknowledged is there, and nothing else; index and documents agree.
fn check(server: &Server, writers: &mut [Writer]) -> Result<()> {
    let mut client = server.client()?;
    let found = numbers(&mut client, COLLECTION, "n")?;
    let counts = numbers(&mut client, "counters", "v").unwrap_or_default();
    assert_eq!(found.keys().filter(|id| id.starts_with("base-")).count(), BASE);
    writers.iter_mut().for_each(|writer| writer.settle(&found, &counts));
    let verified = client.ask(&["IDX.VERIFY", COLLECTION])?;
    let Value::Array(figures) = &verified else { bail!("not a map") };
    assert_eq!((figures[7].expect_integer(), figures[9].expect_integer()), (0, 0), "missing and dangling: {verified}");
    Ok(())
}

/// What changes with each step that a rotation, a checkpoint, a roll of the log or a compaction puts on disk.
fn steps(dir: &Path) -> Vec<(PathBuf, u64, i64)> {
    let of = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let (inode, time) = metadata.map_or((0, 0), |metadata| (metadata.ino(), metadata.mtime_nsec()));
        (path, inode, time)
    };
    let mut seen: Vec<_> = ["keyring", "rotation", "checkpoint"].map(|name| of(dir.join(name))).into();
    for space in ["0", "1", "2"] {
        seen.push(of(dir.join("kv/keyspaces").join(space).join("current")));
    }
    for segment in fs::read_dir(dir.join("log")).into_iter().flatten().flatten() {
        // The one that is written to changes all the time.
        let (path, inode, _) = of(segment.path());
        seen.push((path, inode, 0));
    }
    seen.sort();
    seen
}

/// Returns when so many steps were seen, or the rotation is over; whether it was over.
fn wait_for_steps(server: &Server, count: usize) -> Result<bool> {
    let dir = server.dir();
    let over = &AtomicBool::new(false);
    thread::scope(|scope| -> Result<bool> {
        let mut client = server.client()?;
        let asks = scope.spawn(move || -> Result<()> {
            let outcome = wait_until_completed(&mut client);
            over.store(true, Ordering::Relaxed);
            // It was killed while it was asked.
            outcome.or(Ok(()))
        });
        let mut before = steps(&dir);
        let mut seen = 0;
        while seen < count && !over.load(Ordering::Relaxed) {
            let now = steps(&dir);
            seen += usize::from(now != before);
            before = now;
        }
        let was_over = over.load(Ordering::Relaxed);
        if let Some(pid) = server.pid().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        }
        asks.join().expect("asking does not panic")?;
        Ok(was_over)
    })
}

#[test]
fn killed_at_every_step_it_goes_on_by_itself_and_nothing_is_lost() -> Result<()> {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut server = server()?;
    let mut writers = Writer::some(&mut random);
    let mut kills = 0;
    for count in 1.. {
        let was_over = under_load(&mut server, &mut writers, |server| {
            // In batches of 800, so that there are some.
            server.client()?.ask(&["KEY.ROTATE", "RATE", "8000"])?;
            wait_for_steps(server, count)
        })
        .with_context(|| format!("step {count} of seed {seed}"))?;
        if was_over {
            break;
        }
        kills += 1;
        server.restart().with_context(|| format!("after step {count} of seed {seed}"))?;
        check(&server, &mut writers)?;
        let mut client = server.client()?;
        wait_until_completed(&mut client)?;
        check(&server, &mut writers)?;
        let keys = keys(&mut client)?;
        assert!(keys.len() == 1 && keys[0].1 >= BASE as i64, "after step {count}: {keys:?}");
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    println!("{kills} steps, {acknowledged} acknowledged writes, none lost");
    assert!(kills >= 8, "only {kills} steps were seen");
    Ok(())
}

#[test]
fn killed_at_random_moments_it_goes_on_by_itself_and_nothing_is_lost() -> Result<()> {
    let seed = seed();
    let rounds = setting("VEDDB_ROTATION_KILLS", 6);
    let mut random = Random::new(seed);
    let mut server = server()?;
    let mut writers = Writer::some(&mut random);
    let (mut within, mut cancelled) = (0, 0);
    for round in 0..rounds {
        let wait = Duration::from_millis(random.below(1500) as u64);
        let cancel = random.one_in(4).then(|| Duration::from_millis(random.below(300) as u64));
        let rate = random.pick(&["2000", "8000", "1000000"]).to_string();
        under_load(&mut server, &mut writers, |server| {
            let mut client = server.client()?;
            // The last one may go on still.
            if state(&mut client)? != "re-encrypting" {
                client.ask(&["KEY.ROTATE", "RATE", &rate])?;
            }
            if let Some(cancel) = cancel {
                thread::sleep(cancel);
                // Too late, or done before: both are fine.
                cancelled += usize::from(matches!(client.run(&["KEY.CANCEL"])?, Value::Integer(_)));
            }
            thread::sleep(wait);
            Ok(())
        })
        .with_context(|| format!("round {round} of seed {seed}"))?;
        for _ in 0..random.below(3) {
            server.start_and_kill(Duration::from_millis(random.below(150) as u64))?;
        }
        server.restart().with_context(|| format!("after round {round} of seed {seed}"))?;
        within += usize::from(state(&mut server.client()?)? == "re-encrypting");
        check(&server, &mut writers).with_context(|| format!("after round {round} of seed {seed}"))?;
        if random.one_in(3) {
            wait_until_completed(&mut server.client()?)?;
            check(&server, &mut writers)?;
        }
    }
    let mut client = server.client()?;
    wait_until_completed(&mut client)?;
    check(&server, &mut writers)?;
    let keys = keys(&mut client)?;
    assert!(keys.len() == 1 && keys[0].1 >= BASE as i64, "{keys:?}");
    println!("{rounds} kills, {within} of them within a rotation, {cancelled} cancelled");
    assert!(rounds < 6 || within > 0, "no kill was within a rotation");
    Ok(())
}

#[test]
fn with_the_keyring_from_before_nothing_opens() -> Result<()> {
    let mut server = server()?;
    let mut client = server.client()?;
    let keyring = server.dir().join("keyring");
    let before = fs::read(&keyring)?;
    assert_eq!(client.ask(&["KEY.ROTATE", "SYNC"])?, Value::Integer(2));
    server.stop()?;
    let after = fs::read(&keyring)?;
    fs::write(&keyring, &before)?;
    let Err(error) = server.restart() else { bail!("it started with the old key") };
    let said = error.to_string();
    assert!(said.contains("no key 2") && said.contains("checkpoint"), "{said}");
    fs::write(&keyring, &after)?;
    server.restart()?;
    assert_eq!(server.client()?.ask(&["DOC.COUNT", COLLECTION])?, Value::Integer(BASE as i64));
    Ok(())
}

#[test]
fn another_master_key_is_needed_after_a_kill_at_any_moment() -> Result<()> {
    let mut random = Random::new(seed());
    let server = Options::new().start()?;
    server.client()?.ask(&["DOC.SET", "c", "a", r#"{"n":1}"#])?;
    let (home, mut current) = (server.home().clone(), server.key_file());
    let mut server = server;
    for round in 0..5 {
        let next = home.path().join(format!("key-{round}"));
        let mut client = server.client()?;
        let wait = Duration::from_micros(random.below(4000) as u64);
        let reply = thread::scope(|scope| {
            let asks = scope.spawn(|| client.run(&["KEY.ROTATE", "MASTER", &next.to_string_lossy()]));
            thread::sleep(wait);
            server.kill().map(|()| asks.join().expect("asking does not panic"))
        })?;
        let start = |key: &Path| Options::new().home(&home).set("master-key-file", key).start();
        server = match (start(&next), reply) {
            (Ok(server), _) => {
                assert!(start(&current).is_err(), "the old master key opens it as well");
                current = next;
                server
            }
            (Err(error), Ok(reply)) => bail!("{reply} was answered, and {error}"),
            (Err(_), Err(_)) => start(&current)?,
        };
        assert_eq!(server.client()?.ask(&["DOC.GET", "c", "a"])?.expect_text(), r#"{"_id":"a","n":1}"#);
    }
    let mut client = server.client()?;
    let same = client.run(&["KEY.ROTATE", "MASTER", &current.to_string_lossy()])?.to_string();
    assert!(same.contains("the master key already"), "{same}");
    let inside = client.run(&["KEY.ROTATE", "MASTER", &server.dir().join("key").to_string_lossy()])?.to_string();
    assert!(inside.contains("data directory"), "{inside}");
    let wide = home.path().join("wide");
    fs::write(&wide, format!("{}\n", "0f".repeat(32)))?;
    fs::set_permissions(&wide, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let said = client.run(&["KEY.ROTATE", "MASTER", &wide.to_string_lossy()])?.to_string();
    assert!(said.contains("chmod 600"), "{said}");
    Ok(())
}

#[test]
fn the_settings_follow_the_master_key_and_the_file_before_is_not_missed() -> Result<()> {
    let home = tempfile::tempdir()?;
    let [file, first, second] = ["veddb.conf", "first.key", "second.key"].map(|name| home.path().join(name));
    fs::write(&first, format!("{}\n", "0f".repeat(32)))?;
    fs::set_permissions(&first, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    fs::write(&file, format!("# kept\nmaster-key-file {}\n", first.display()))?;
    let mut server = Options::new().file(&file).start()?;
    let mut client = server.client()?;
    client.ask(&["DOC.SET", "c", "a", r#"{"n":1}"#])?;
    let named = |client: &mut Client| -> Result<String> {
        Ok(client.ask(&["CONFIG", "GET", "master-key-file"])?.expect_array()[1].expect_text().to_owned())
    };
    assert_eq!(named(&mut client)?, first.to_string_lossy());
    client.ask(&["KEY.ROTATE", "MASTER", &second.to_string_lossy()])?;
    fs::remove_file(&first)?;
    assert_eq!(named(&mut client)?, second.to_string_lossy());
    // Tools write back what they read.
    client.ask(&["CONFIG", "SET", "master-key-file", &second.to_string_lossy()])?;
    assert_eq!(client.ask(&["KEY.ROTATE", "SYNC"])?, Value::Integer(2));
    client.ask(&["CONFIG", "REWRITE"])?;
    let written = fs::read_to_string(&file)?;
    assert!(written.starts_with(&format!("# kept\nmaster-key-file {}\n", second.display())), "{written}");
    server.stop()?;
    server.restart()?;
    let mut client = server.client()?;
    assert_eq!(client.ask(&["DOC.GET", "c", "a"])?.expect_text(), r#"{"_id":"a","n":1}"#);
    assert_eq!(named(&mut client)?, second.to_string_lossy());
    Ok(())
}

#[test]
fn a_full_disk_stops_it_with_both_keys_until_there_is_room() -> Result<()> {
    let options = Options::new().set("log-segment-size", "1mb").set("disk-reserve", "16mb");
    let Some((disk, server)) = SmallDisk::start("64m", options)? else { return Ok(()) };
    let mut client = server.client()?;
    for part in 0..60 {
        let mut request = vec!["DOC.INSERT".to_owned(), COLLECTION.to_owned()];
        request.extend((0..100).map(|at| format!(r#"{{"_id":"{part}-{at}","text":"{}"}}"#, "x".repeat(4000))));
        client.ask(&request)?;
    }
    client.ask(&["KEY.ROTATE"])?;
    let until = Instant::now() + PATIENCE;
    while state(&mut client)? == "re-encrypting" && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(state(&mut client)?, "failed");
    assert!(client.figure("encryption", "rotation_error")?.contains("no space"));
    assert_eq!(keys(&mut client)?.len(), 2);
    let refused = client.run(&["KEY.ROTATE"])?.to_string();
    assert!(refused.contains("BUSY"), "{refused}");
    assert_eq!(client.ask(&["DOC.COUNT", COLLECTION])?, Value::Integer(6000));
    disk.resize("256m")?;
    client.ask(&["KEY.RESUME"])?;
    wait_until_completed(&mut client)?;
    assert_eq!(keys(&mut client)?.len(), 1);
    client.ask(&["DOC.SET", COLLECTION, "after", "{}"])?;
    Ok(())
}

#[test]
fn the_program_shows_how_far_it_is() -> Result<()> {
    let server = Options::new().password("secret").start()?;
    let port = server.port().to_string();
    let show = |words: &[&str], password: &str| -> Result<(bool, String)> {
        let mut command = Command::new(binary()?);
        command.arg("key").args(words).args(["--port", &port]).env("REDISCLI_AUTH", password);
        let output = command.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    assert_eq!(show(&["status"], "secret")?, (true, "idle: the data key was never changed\n".to_owned()));
    let (right, said) = show(&["status"], "wrong")?;
    assert!(!right && said.contains("WRONGPASS"), "{said}");
    let mut client = server.client()?;
    client.ask(&["DOC.INSERT", "c", r#"{"_id":"a"}"#, r#"{"_id":"b"}"#])?;
    client.ask(&["KEY.ROTATE", "RATE", "3"])?;
    let (right, said) = show(&["status", "--watch"], "secret")?;
    let lines: Vec<&str> = said.lines().collect();
    assert!(right && lines.len() > 1, "{said}");
    assert!(lines[0].starts_with("re-encrypting key 1 to 2 ["), "{said}");
    assert!(lines[lines.len() - 1].starts_with("completed key 1 to 2 [###"), "{said}");
    Ok(())
}
