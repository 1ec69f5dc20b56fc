//! Starts that have to be refused: nothing on disk changes, and what is said names what and where. And what happens
//! when the disk is full.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;
use veddb_tests::server::run_to_end;
use veddb_tests::{Client, Options, Random, Server, SmallDisk, Value, seed, setting};

/// Every file under a directory with its contents; directories with none.
fn contents(under: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(under)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
            found.insert(path, Vec::new());
        } else {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(found)
}

fn differences(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

fn free_port() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string())
}

/// A start that has to fail, say all of `words`, and leave `home` as it is.
fn refused(home: &Path, arguments: &[&str], words: &[&str]) -> Result<String> {
    let before = contents(home)?;
    let port = free_port()?;
    let arguments = [arguments, &["--port", &port]].concat();
    let (status, said) = run_to_end(&arguments, Path::new("/dev/null"))?;
    assert!(!status.success(), "{arguments:?} did not fail:\n{said}");
    assert!(status.code().is_some(), "{arguments:?} ended by a signal, {status}:\n{said}");
    assert!(!said.contains("panicked"), "{arguments:?} panicked:\n{said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}:\n{said}");
    }
    assert_eq!(differences(&before, &contents(home)?), Vec::<PathBuf>::new(), "{arguments:?} changed files:\n{said}");
    Ok(said)
}

/// A home with a store of a few documents, stopped.
fn stopped_store() -> Result<Server> {
    let mut server = Options::new().start()?;
    let mut client = server.client()?;
    for at in 0..200 {
        client.ask(&["DOC.INSERT", "c", &document(at)])?;
    }
    server.stop()?;
    fs::remove_file(server.home().path().join("server.log"))?;
    Ok(server)
}

fn document(at: usize) -> String {
    format!(r#"{{"_id":"{at}","text":"{}"}}"#, "text".repeat(at))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

#[test]
fn a_wrong_or_missing_master_key() -> Result<()> {
    let server = stopped_store()?;
    let (home, dir, key_file) = (server.home().path(), server.dir(), server.key_file());
    let (dir, key) = (text(&dir), fs::read(&key_file)?);
    assert_eq!(key.len(), 65);
    assert_eq!(fs::metadata(&key_file)?.permissions().mode() & 0o777, 0o600);

    fs::remove_file(&key_file)?;
    refused(home, &["--dir", dir], &[text(&key_file), "does not exist"])?;

    fs::write(&key_file, format!("{}\n", "ab".repeat(32)))?;
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
    let said = refused(home, &["--dir", dir], &["keyring", "master key is not the one"])?;
    assert!(!said.contains("abab"), "the key was printed:\n{said}");

    fs::write(&key_file, "ab\n")?;
    refused(home, &["--dir", dir], &[text(&key_file), "64 hexadecimal digits"])?;

    fs::write(&key_file, &key)?;
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o644))?;
    refused(home, &["--dir", dir], &[text(&key_file), "chmod 600"])?;

    let missing = home.join("elsewhere");
    refused(home, &["--dir", dir, "--master-key-file", text(&missing)], &[text(&missing)])?;
    refused(home, &["--dir", dir, "--master-key-env", "VEDDB_TEST_UNSET"], &["VEDDB_TEST_UNSET"])?;

    // The key by another way opens the store as well.
    fs::remove_file(&key_file)?;
    let digits = String::from_utf8(key)?;
    let options = Options::new().home(server.home()).set("master-key-env", "VEDDB_TEST_KEY");
    let mut again = options.environment("VEDDB_TEST_KEY", digits.trim_end()).start()?;
    assert_eq!(again.client()?.ask(&["DOC.COUNT", "c"])?, Value::Integer(200));
    again.stop()
}

#[test]
fn a_systemd_credential_is_the_master_key() -> Result<()> {
    let credentials = tempfile::tempdir()?;
    fs::write(credentials.path().join("veddb-master-key"), format!("{}\n", "0f".repeat(32)))?;
    let mut server = Options::new().environment("CREDENTIALS_DIRECTORY", credentials.path()).start()?;
    server.client()?.ask(&["DOC.SET", "c", "x", "{}"])?;
    assert!(!server.key_file().exists(), "a key file was made although a credential was given");
    server.stop()
}

#[test]
fn a_foreign_directory() -> Result<()> {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("photos");
    fs::create_dir(&dir)?;
    fs::write(dir.join("holiday.txt"), "sea")?;
    refused(home.path(), &["--dir", text(&dir)], &[text(&dir)])?;
    let file = dir.join("holiday.txt");
    refused(home.path(), &["--dir", text(&file)], &[text(&file)])?;
    Ok(())
}

#[test]
fn a_second_process() -> Result<()> {
    let mut server = Options::new().start()?;
    server.client()?.ask(&["DOC.SET", "c", "x", "{}"])?;
    let dir = server.dir();
    // The first one is at rest, so its files stay as they are.
    let port = free_port()?;
    let (status, said) = run_to_end(&["--dir", text(&dir), "--port", &port], Path::new("/dev/null"))?;
    assert!(!status.success() && said.contains(text(&dir)), "{status}: {said}");
    assert_eq!(server.client()?.ask(&["DOC.COUNT", "c"])?, Value::Integer(1));
    server.kill()?;
    server.restart()?;
    assert_eq!(server.client()?.ask(&["DOC.COUNT", "c"])?, Value::Integer(1));
    server.stop()
}

#[test]
fn bad_settings() -> Result<()> {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("data");
    let dir = text(&dir);
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--no-such-setting", "1"], &["no-such-setting"]),
        (&["--maxclients", "many"], &["maxclients", "many"]),
        (&["--appendfsync", "sometimes"], &["appendfsync", "sometimes"]),
        (&["--databases", "0"], &["databases"]),
        (&["--maxmemory-cache", "12parsecs"], &["maxmemory-cache", "12parsecs"]),
        (&["--bind", "not an address"], &["bind"]),
        (&["--timeout"], &["timeout"]),
    ];
    for (arguments, words) in cases {
        refused(home.path(), &[&["--dir", dir], arguments].concat(), words)?;
    }
    let file = home.path().join("veddb.conf");
    fs::write(&file, "# a comment\nappendfsync always\n\nmaxclients -5\n")?;
    refused(home.path(), &[text(&file), "--dir", dir], &["4", "maxclients"])?;
    fs::write(&file, "requirepass \"unbalanced\nport 1\n")?;
    let said = refused(home.path(), &[text(&file), "--dir", dir], &["1"])?;
    assert!(!said.contains("panicked"), "{said}");
    let missing = home.path().join("missing.conf");
    refused(home.path(), &[text(&missing), "--dir", dir], &[text(&missing)])?;
    Ok(())
}

/// Flips a bit at several places of every file. The server refuses to start and changes nothing, or it starts and
/// every answer is right or an error; never wrong data.
#[test]
fn damage_is_never_wrong_data() -> Result<()> {
    let seed = seed();
    let flips = setting("VEDDB_DAMAGE_FLIPS", 6);
    let mut random = Random::new(seed);
    let server = stopped_store()?;
    let intact = contents(&server.dir())?;
    for (path, bytes) in intact.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let last = bytes.len() - 1;
        let mut places = vec![0, last];
        places.extend((2..flips).map(|_| random.below(bytes.len())));
        // Before zero-filled tails there is more to hit.
        places.push(bytes.iter().rposition(|byte| *byte != 0).unwrap_or(last));
        for at in places {
            let what = format!("bit flip at {at} of {} (seed {seed})", path.display());
            let copy = TempDir::new()?;
            let home = copy.path();
            restore(&intact, &server.dir(), &home.join("data"))?;
            fs::copy(server.key_file(), home.join("data.key"))?;
            let damaged = home.join("data").join(path.strip_prefix(server.dir())?);
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.below(8);
            fs::write(&damaged, changed)?;
            judge(copy, &damaged).with_context(|| what)?;
        }
    }
    Ok(())
}

fn restore(files: &BTreeMap<PathBuf, Vec<u8>>, from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for (path, bytes) in files {
        let target = to.join(path.strip_prefix(from)?);
        if path.is_dir() {
            fs::create_dir_all(target)?;
        } else {
            fs::create_dir_all(target.parent().context("a file is in a directory")?)?;
            fs::write(target, bytes)?;
        }
    }
    Ok(())
}

fn judge(home: TempDir, damaged: &Path) -> Result<()> {
    let before = contents(&home.path().join("data"))?;
    let home = std::sync::Arc::new(home);
    match Options::new().home(&home).start() {
        Err(error) => {
            let said = format!("{error:#}");
            let changed = differences(&before, &contents(&home.path().join("data"))?);
            assert!(!said.contains("panicked"), "{}: the server panicked: {said}", damaged.display());
            assert!(said.contains(text(&home.path().join("data"))), "{} is not named: {said}", damaged.display());
            assert_eq!(changed, Vec::<PathBuf>::new(), "{}: a refused start changed files: {said}", damaged.display());
        }
        Ok(server) => {
            let mut client = server.client()?;
            let count = client.run(&["DOC.COUNT", "c"])?;
            assert!(matches!(count, Value::Error(_) | Value::Integer(200)), "{}: DOC.COUNT {count}", damaged.display());
            for at in 0..200 {
                let reply = client.run(&["DOC.GET", "c", &at.to_string()])?;
                let right = reply.text() == Some(document(at).as_str()) || matches!(reply, Value::Error(_));
                assert!(right, "{}: document {at} is {reply}", damaged.display());
            }
        }
    }
    Ok(())
}

#[test]
fn protected_mode_denies_other_machines() -> Result<()> {
    // No packet is sent: connecting a UDP socket only chooses the address this machine would send from.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).map(|address| address.ip());
    let address = match address {
        Ok(address) if !address.is_loopback() && !address.is_unspecified() => address.to_string(),
        other => {
            println!("skipped: this machine has no address but loopback ({other:?})");
            return Ok(());
        }
    };
    let mut open = Options::new().set("bind", "0.0.0.0").start()?;
    let mut client = Client::connect_to(&address, open.port())?;
    let reply = client.run(&["PING"])?;
    assert!(reply.is_error("DENIED"), "{reply}");
    assert_eq!(open.client()?.run(&["PING"])?.text(), Some("PONG"));
    open.stop()?;

    let mut closed = Options::new().set("bind", "0.0.0.0").password("secret").start()?;
    let mut client = Client::connect_to(&address, closed.port())?;
    assert!(client.run(&["PING"])?.is_error("NOAUTH"));
    client.ask(&["AUTH", "secret"])?;
    assert_eq!(client.run(&["PING"])?.text(), Some("PONG"));
    closed.stop()
}

/// A server on a file system of this size; none when that is not permitted here.
fn on_small_disk(size: &str, reserve: &str) -> Result<Option<(SmallDisk, Server)>> {
    SmallDisk::start(size, Options::new().set("log-segment-size", "1mb").set("disk-reserve", reserve))
}

/// Inserts until the server refuses: how many were acknowledged, and what it said.
fn fill(client: &mut Client) -> Result<(i64, String)> {
    for acknowledged in 0..100_000 {
        let document = format!(r#"{{"_id":"{acknowledged}","text":"{}"}}"#, "x".repeat(4000));
        if let Value::Error(message) = client.run(&["DOC.INSERT", "c", &document])? {
            assert!(acknowledged > 100, "only {acknowledged} writes went in: {message}");
            return Ok((acknowledged, message));
        }
    }
    anyhow::bail!("the disk never became full")
}

#[test]
fn a_disk_that_runs_low_refuses_writes_until_there_is_room() -> Result<()> {
    let Some((disk, mut server)) = on_small_disk("64m", "32mb")? else { return Ok(()) };
    let mut client = server.client()?;
    let (acknowledged, refusal) = fill(&mut client)?;
    assert!(refusal.starts_with("NOSPACE"), "{refusal}");
    assert_eq!(client.ask(&["DOC.COUNT", "c"])?, Value::Integer(acknowledged), "the refused write is not there");
    disk.resize("128m")?;
    client.ask(&["DOC.SET", "c", "after", "{}"])?;
    server.stop()?;
    server.restart()?;
    assert_eq!(server.client()?.ask(&["DOC.COUNT", "c"])?, Value::Integer(acknowledged + 1));
    server.stop()
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() -> Result<()> {
    // Without a reserve the disk really becomes full, in the middle of whatever is being written.
    let Some((disk, mut server)) = on_small_disk("24m", "0")? else { return Ok(()) };
    let mut client = server.client()?;
    let (acknowledged, refusal) = fill(&mut client)?;
    assert!(refusal.starts_with("NOSPACE") || refusal.starts_with("MISCONF"), "{refusal}");
    assert_eq!(client.ask(&["DOC.COUNT", "c"])?, Value::Integer(acknowledged), "reads go on; the refused is not there");
    server.kill()?;
    disk.resize("128m")?;
    server.restart()?;
    let mut client = server.client()?;
    assert_eq!(client.ask(&["DOC.COUNT", "c"])?, Value::Integer(acknowledged));
    client.ask(&["DOC.SET", "c", "0", "{}"])?;
    server.stop()
}
