//! The audit log: what is in it, that nothing in it can be changed unseen, and what happens when it cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use veddb_tests::{Client, Options, Server, SmallDisk, Value};

/// The records of the log, once there are so many.
fn records(client: &mut Client, at_least: usize) -> Result<Vec<Json>> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let found = client.ask(&["AUDIT.TAIL", "10000"])?;
        let found: Vec<Json> = found
            .expect_array()
            .iter()
            .map(|one| Ok(serde_json::from_str(one.expect_text())?))
            .collect::<Result<_>>()?;
        if found.len() >= at_least {
            return Ok(found);
        }
        ensure!(Instant::now() < until, "there are {} records, not {at_least}: {found:?}", found.len());
    }
}

/// One line a record: event, command, user, names, outcome.
fn lines(records: &[Json]) -> Vec<String> {
    let text = |record: &Json, name: &str| record[name].as_str().unwrap_or("-").to_owned();
    let names = |record: &Json| match record["names"].as_array() {
        Some(names) => names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(","),
        None => "-".to_owned(),
    };
    let line = |record: &Json| {
        format!(
            "{} {} {} {} {}",
            text(record, "event"),
            text(record, "command"),
            text(record, "user"),
            names(record),
            text(record, "outcome")
        )
    };
    records.iter().map(line).collect()
}

/// What AUDIT.VERIFY says: whether all is well, how many records there are, what is wrong.
fn verify(client: &mut Client) -> Result<(bool, i64, String)> {
    client.ask(&["HELLO", "3"])?;
    let said = client.ask(&["AUDIT.VERIFY"])?;
    client.ask(&["HELLO", "2"])?;
    let ok = said.get("ok") == Some(&Value::Boolean(true));
    Ok((ok, said.get("records").context("records")?.expect_integer(), said.to_string()))
}

#[test]
fn what_was_done_is_there_and_no_secret() -> Result<()> {
    let server = Options::new().password("a secret of old").start()?;
    let mut client = server.client()?;
    let mut stranger = Client::connect(server.port())?;
    ensure!(stranger.run(&["GET", "k"])?.is_error("NOAUTH"), "a stranger was served");
    ensure!(stranger.run(&["AUTH", "a wrong secret"])?.is_error("WRONGPASS"), "a wrong password was taken");
    client.ask(&["CONFIG", "SET", "requirepass", "a new secret", "timeout", "0"])?;
    client.ask(&["DOC.CREATE", "people"])?;
    client.ask(&["DOC.SET", "people", "1", r#"{"a secret":"of a document"}"#])?;
    client.ask(&["DOC.GET", "people", "1"])?;
    client.ask(&["MULTI"])?;
    client.ask(&["FLUSHDB"])?;
    client.ask(&["EXEC"])?;
    // Those of the harness's own connections come before.
    let found = records(&mut client, 7)?;
    let own: Vec<String> = lines(&found).into_iter().filter(|line| line != "auth auth default default ok").collect();
    let expected = [
        "denied get default k NOAUTH",
        "auth auth default default WRONGPASS",
        "config config|set default requirepass,timeout ok",
        "ddl doc.create default people ok",
        "ddl flushdb default - ok",
    ];
    ensure!(own == expected, "{own:#?}");
    let text = serde_json::to_string(&found)?;
    ensure!(!text.contains("secret"), "a secret is in the log: {text}");
    let positions: Vec<u64> = found.iter().filter_map(|record| record["position"].as_u64()).collect();
    ensure!(positions == (1..=found.len() as u64).collect::<Vec<_>>(), "{positions:?}");
    ensure!(found.iter().all(|record| record["addr"].as_str().is_some_and(|addr| addr.starts_with("127.0.0.1:"))));

    let from = client.ask(&["AUDIT.TAIL", "2", "FROM", "3"])?;
    let from = from.expect_array();
    ensure!(from.len() == 2 && from[0].expect_text().starts_with(r#"{"position":3,"#), "{from:?}");

    client.ask(&["CONFIG", "SET", "audit-events", "read write"])?;
    client.ask(&["DOC.SET", "people", "2", "{}"])?;
    client.ask(&["DOC.GET", "people", "2"])?;
    client.ask(&["CONFIG", "SET", "audit-events", ""])?;
    client.ask(&["DOC.SET", "people", "3", "{}"])?;
    let found = lines(&records(&mut client, found.len() + 4)?);
    let last = found.get(found.len() - 4..).unwrap_or_default();
    let expected = [
        // That the log is told what to leave out is never left out.
        "config config|set default audit-events ok",
        "write doc.set default people ok",
        "read doc.get default people ok",
        "config config|set default audit-events ok",
    ];
    ensure!(last == expected, "{last:?}");
    Ok(())
}

fn files(server: &Server) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(server.dir().join("audit"))? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Records of a server that is killed.
const RECORDS: usize = 2000;

/// A server that was killed with some thousand records in three files or more.
fn killed() -> Result<Server> {
    let mut server = Options::new().set("audit-file-size", "64kb").start()?;
    let mut client = server.client()?;
    for round in 1..=RECORDS {
        client.ask(&["CONFIG", "SET", "timeout", &round.to_string()])?;
        if round % 200 == 0 {
            // A file is only ended between two batches.
            records(&mut client, round)?;
        }
    }
    server.kill()?;
    Ok(server)
}

#[test]
fn what_is_changed_between_two_starts_is_found() -> Result<()> {
    let mut server = killed()?;
    server.restart()?;
    let (ok, count, said) = verify(&mut server.client()?)?;
    ensure!(ok && count >= RECORDS as i64, "after kill -9: {said}");
    server.kill()?;
    let all = files(&server)?;
    ensure!(all.len() >= 3, "{all:?}");
    let kept: Vec<(&PathBuf, Vec<u8>)> = all.iter().map(|path| Ok((path, fs::read(path)?))).collect::<Result<_>>()?;
    for (path, whole) in &kept {
        for at in [0, 50, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            for bytes in [&changed[..], &whole[..at]] {
                fs::write(path, bytes)?;
                server.restart()?;
                let (ok, _, said) = verify(&mut server.client()?)?;
                ensure!(!ok, "{} at {at}: {said}", path.display());
                server.kill()?;
                // A start behind damage begins a file of its own, and writes the head.
                for extra in files(&server)?.iter().filter(|path| !all.contains(path)) {
                    fs::remove_file(extra)?;
                }
                for (path, whole) in &kept {
                    fs::write(path, whole)?;
                }
            }
        }
    }
    server.restart()?;
    let (ok, _, said) = verify(&mut server.client()?)?;
    ensure!(ok, "as it was: {said}");
    server.stop()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

#[test]
fn an_earlier_log_that_was_put_back_is_found_and_stays_found() -> Result<()> {
    let mut server = killed()?;
    let (audit, earlier) = (server.dir().join("audit"), tempfile::tempdir()?);
    copy(&audit, earlier.path())?;
    server.restart()?;
    let mut client = server.client()?;
    for round in 0..20 {
        client.ask(&["CONFIG", "SET", "timeout", &round.to_string()])?;
    }
    records(&mut client, RECORDS + 20)?;
    // It is said in the store's log a second later at most.
    std::thread::sleep(Duration::from_millis(1500));
    ensure!(verify(&mut client)?.0, "before");
    server.kill()?;
    for put_back in [Some(earlier.path()), None] {
        fs::remove_dir_all(&audit)?;
        if let Some(earlier) = put_back {
            copy(earlier, &audit)?;
        }
        for _ in 0..2 {
            server.restart()?;
            let mut client = server.client()?;
            let (ok, _, said) = verify(&mut client)?;
            ensure!(!ok, "{put_back:?}: {said}");
            // What follows is there, and does not hide it.
            client.ask(&["CONFIG", "SET", "timeout", "7"])?;
            std::thread::sleep(Duration::from_millis(1500));
            let (ok, _, said) = verify(&mut client)?;
            ensure!(!ok, "{put_back:?}, gone on with: {said}");
            ensure!(
                lines(&records(&mut client, 1)?).last().is_some_and(|line| line.contains("timeout")),
                "the last record"
            );
            server.kill()?;
        }
    }
    server.restart()?;
    server.stop()
}

#[test]
fn it_is_sealed_and_goes_over_to_a_new_key() -> Result<()> {
    let mut server = Options::new().start()?;
    let mut client = server.client()?;
    client.ask(&["DOC.CREATE", "sentinel-collection-name"])?;
    records(&mut client, 1)?;
    client.ask(&["KEY.ROTATE", "SYNC"])?;
    records(&mut client, 2)?;
    let (ok, count, said) = verify(&mut client)?;
    ensure!(ok && count >= 2, "{said}");
    server.stop()?;
    for path in files(&server)? {
        let bytes = fs::read(&path)?;
        for word in [&b"sentinel-collection-name"[..], b"doc.create", b"127.0.0.1"] {
            ensure!(memchr::memmem::find(&bytes, word).is_none(), "{} is readable", path.display());
        }
    }
    server.restart()?;
    let mut client = server.client()?;
    let (ok, _, said) = verify(&mut client)?;
    ensure!(ok, "after a start: {said}");
    // An orderly stop loses nothing of what was noted just before.
    let before = records(&mut client, 1)?.len();
    let sets: Vec<Vec<&str>> = (0..500).map(|_| vec!["CONFIG", "SET", "timeout", "0"]).collect();
    client.pipeline(&sets)?;
    server.stop()?;
    server.restart()?;
    let after = records(&mut server.client()?, 1)?.len();
    ensure!(after == before + 500, "{before} records and 500, but {after} after a stop");
    Ok(())
}

#[test]
fn old_files_go_when_they_are_not_to_be_kept() -> Result<()> {
    let mut server = killed()?;
    server.restart()?;
    let mut client = server.client()?;
    client.ask(&["CONFIG", "SET", "audit-files-max", "2"])?;
    client.ask(&["CONFIG", "SET", "timeout", "0"])?;
    let until = Instant::now() + Duration::from_secs(30);
    // The head is a file as well.
    while files(&server)?.len() > 3 {
        ensure!(Instant::now() < until, "{:?}", files(&server)?);
    }
    let (ok, _, said) = verify(&mut client)?;
    ensure!(ok, "{said}");
    Ok(())
}

#[test]
fn a_full_disk_refuses_or_goes_on_as_it_is_told() -> Result<()> {
    let options = Options::new().set("disk-reserve", "0").set("audit-events", "ddl config");
    let Some((disk, server)) = SmallDisk::start("64m", options)? else { return Ok(()) };
    let mut client = server.client()?;
    client.ask(&["CONFIG", "SET", "audit-on-failure", "refuse"])?;
    records(&mut client, 1)?;
    let fill = server.dir().join("tmp").join("fill");
    let filled = fs::write(&fill, vec![0; usize::try_from(disk.free()?)?]);
    // Whether or not the last page found room.
    drop(filled);
    // The next record still fits into the page that is there, or not: until it does not.
    let until = Instant::now() + Duration::from_secs(30);
    while !client.run(&["DOC.DROP", "nothing"])?.is_error("MISCONF") {
        ensure!(Instant::now() < until, "nothing was refused on a full disk");
    }
    client.ask(&["PING"])?;
    client.ask(&["DOC.GET", "c", "1"])?;
    // What mends it is let through.
    client.ask(&["CONFIG", "SET", "audit-on-failure", "continue"])?;
    while client.run(&["DOC.DROP", "nothing"])?.is_error("MISCONF") {}
    while client.figure("stats", "audit_records_lost")? == "0" {
        client.ask(&["DOC.DROP", "nothing"])?;
        ensure!(Instant::now() < until, "nothing is said to be lost");
    }
    client.ask(&["CONFIG", "SET", "audit-on-failure", "refuse"])?;
    fs::remove_file(&fill)?;
    while client.figure("stats", "audit_failing")? == "1" {
        let _ = client.run(&["CONFIG", "SET", "timeout", "0"])?;
        ensure!(Instant::now() < until, "it goes on failing");
    }
    client.ask(&["DOC.CREATE", "after"])?;
    let (ok, _, said) = verify(&mut client)?;
    ensure!(ok, "{said}");
    let found = lines(&records(&mut client, 1)?);
    let until = Instant::now() + Duration::from_secs(30);
    let mut last = found;
    while last.last().is_none_or(|line| line != "ddl doc.create default after ok") {
        last = lines(&records(&mut client, 1)?);
        ensure!(Instant::now() < until, "{last:?}");
    }
    let answer = client.ask(&["AUDIT.TAIL", "0"])?;
    ensure!(matches!(&answer, Value::Array(none) if none.is_empty()), "{answer}");
    Ok(())
}
