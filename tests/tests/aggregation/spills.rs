//! What queries write to temporary files is never named for long, never readable, and gone with the process; a full disk
//! ends the query alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use veddb_tests::{Client, Options, Server, SmallDisk, Value, request, setting};

use crate::data::{Documents, client, nothing_is_held, options};

const MARK: &[u8] = b"MarkOfWhatIsSpilled";

/// Documents with a mark in a value and in a name.
fn insert(client: &mut Client, count: usize) -> Result<()> {
    let documents = Documents { count, keys: 100, text: 400 };
    let ids: Vec<usize> = (0..count).collect();
    for part in ids.chunks(500) {
        let mut request = vec!["DOC.INSERT".to_owned(), "c".to_owned()];
        request.extend(part.iter().map(|id| {
            let text = documents.text(*id);
            format!(r#"{{"_id":{id},"r":"{text}","MarkOfWhatIsSpilled":"MarkOfWhatIsSpilled{text}"}}"#)
        }));
        client.ask(&request)?;
    }
    Ok(())
}

fn no_mark(bytes: &[u8], what: &str) -> Result<()> {
    ensure!(memchr::memmem::find(bytes, MARK).is_none(), "{what} holds the mark");
    Ok(())
}

fn search(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path)?;
        } else if let Ok(bytes) = fs::read(&path) {
            no_mark(&bytes, &path.to_string_lossy())?;
        }
    }
    Ok(())
}

/// Looks into the files without a name that the server has open: how many bytes they have.
fn search_deleted(server: &Server) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(format!("/proc/{}/fd", server.pid().unwrap_or_default()))? {
        let path = entry?.path();
        // It may be closed meanwhile.
        let Ok(target) = fs::read_link(&path) else { continue };
        if target.to_string_lossy().ends_with("(deleted)")
            && let Ok(bytes) = fs::read(&path)
        {
            no_mark(&bytes, &target.to_string_lossy())?;
            size += bytes.len() as u64;
        }
    }
    Ok(size)
}

fn names(server: &Server) -> Result<usize> {
    Ok(fs::read_dir(server.dir().join("tmp"))?.count())
}

/// Waits until the server's queries have written so many bytes.
fn wait_for_spill(client: &mut Client, bytes: u64) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while client.figure("stats", "query_spilled_bytes")?.parse::<u64>()? < bytes {
        ensure!(Instant::now() < until, "nothing was spilled");
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Bytes of disk that the files of a directory take.
fn taken(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.path().is_dir() { taken(&entry.path())? } else { entry.metadata()?.blocks() * 512 };
    }
    Ok(bytes)
}

const SORT: &str = r#"[{"$sort":{"r":1}},{"$group":{"_id":"$r","m":{"$push":"$$ROOT"}}}]"#;

#[test]
fn nothing_is_left_of_a_spill_after_kill() -> Result<()> {
    let kills = setting("VEDDB_SPILL_KILLS", 3);
    let options = options().set("query-memory-limit", "4mb").set("disk-reserve", "0");
    let (disk, mut server) = match SmallDisk::start("1g", options.clone())? {
        Some((disk, server)) => (Some(disk), server),
        None => (None, options.start()?),
    };
    insert(&mut client(&server)?, 30_000)?;
    for round in 0..kills {
        // What a start writes is written now.
        let mut other = client(&server)?;
        let before = (taken(&server.dir())?, disk.as_ref().map(SmallDisk::free).transpose()?);
        let mut client = client(&server)?;
        client.send(&request(&["DOC.EXPLAIN", "AGGREGATE", "c", SORT]))?;
        wait_for_spill(&mut other, (4 << 20) * (1 + round))?;
        let spilled = search_deleted(&server)?;
        ensure!(spilled > 1 << 20, "{spilled} bytes are in files without a name");
        search(&server.dir())?;
        ensure!(names(&server)? <= 1, "a file is named for longer than it takes to open it");
        let during = disk.as_ref().map(SmallDisk::free).transpose()?;
        server.kill()?;
        search(&server.dir())?;
        if let (Some(disk), Some(during)) = (&disk, during) {
            ensure!(disk.free()? > during + (1 << 20), "the kill gave back nothing");
        }
        server.restart()?;
        ensure!(names(&server)? == 0, "a temporary file has a name after the restart");
        let after = taken(&server.dir())?;
        ensure!(after < before.0 + (16 << 20), "{after} bytes are taken, {} were before", before.0);
        if let (Some(disk), Some(before)) = (&disk, before.1) {
            let after = disk.free()?;
            ensure!(after + (16 << 20) > before, "{after} bytes are free, {before} were before");
        }
    }
    drop(server);
    Ok(())
}

#[test]
fn a_full_disk_ends_the_query_alone() -> Result<()> {
    for reserve in ["8mb", "0"] {
        let options = Options::new()
            .set("appendfsync", "everysec")
            .set("log-segment-size", "1mb")
            .set("maxmemory-writes", "1mb")
            .set("query-memory-limit", "1mb")
            .set("disk-reserve", reserve);
        let Some((disk, mut server)) = SmallDisk::start("256m", options)? else { return Ok(()) };
        let mut client = client(&server)?;
        insert(&mut client, 20_000)?;
        // What the log and the engine let go of later may be free only then.
        let until = Instant::now() + Duration::from_secs(30);
        let mut free = 0;
        while disk.free()? != free && Instant::now() < until {
            free = disk.free()?;
            thread::sleep(Duration::from_secs(1));
        }
        let used = (256 << 20) - free;
        let size = used + (8 << 20) + if reserve == "0" { 0 } else { 8 << 20 };
        disk.resize(&size.to_string())?;
        for pipeline in [
            SORT.to_owned(),
            json!([{"$group": {"_id": "$r", "all": {"$push": "$$ROOT"}}}]).to_string(),
            json!([{"$setWindowFields": {"sortBy": {"r": 1}, "output": {"n": {"$rank": {}}}}}]).to_string(),
            json!([{"$facet": {"all": [{"$count": "n"}]}}]).to_string(),
        ] {
            let reply = client.run(&["DOC.AGGREGATE", "c", &pipeline, "CURSOR", "1"])?;
            ensure!(reply.is_error("NOSPACE"), "with a reserve of {reserve}: {reply} for {pipeline}");
            client.ask(&["DOC.SET", "after", "x", &json!({"pipeline": pipeline}).to_string()])?;
        }
        let reply = client.run(&["DOC.FIND", "c", "{}", "SORT", r#"{"r":1}"#, "CURSOR", "1"])?;
        ensure!(reply.is_error("NOSPACE"), "{reply}");
        nothing_is_held(&mut client)?;
        for at in 0..100 {
            client.ask(&["DOC.INSERT", "after", &json!({"_id": at}).to_string()])?;
        }
        server.kill()?;
        server.restart()?;
        let mut client = server.client()?;
        ensure!(client.ask(&["DOC.COUNT", "c"])? == Value::Integer(20_000), "documents are lost");
        ensure!(client.ask(&["DOC.COUNT", "after"])? == Value::Integer(101), "documents are lost");
        disk.resize("1g")?;
        let reply = client.ask(&["DOC.AGGREGATE", "c", SORT, "CURSOR", "1"])?;
        ensure!(reply.expect_array().len() == 2, "{reply}");
        server.stop()?;
    }
    Ok(())
}
