//! The store: the committer, the log, checkpoints, caches, the engine, the disk, collections, indexes, keys.

use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Value};

use super::watch::{Check, Labels, Seen, Watched, run, until};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        of: &[
            "veddb_commit_groups_total",
            "veddb_commit_units_total",
            "veddb_commit_group_units",
            "veddb_log_sync_duration_seconds",
            "veddb_log_lsn",
            "veddb_log_written_bytes_total",
            "veddb_log_segments",
            "veddb_log_disk_bytes",
        ],
        run: commits,
    },
    Check {
        of: &[
            "veddb_checkpoints_total",
            "veddb_checkpoint_duration_seconds",
            "veddb_checkpoint_timestamp_seconds",
            "veddb_write_memory_bytes",
            "veddb_write_memory_limit_bytes",
            "veddb_replayed_units",
        ],
        run: checkpoints,
    },
    Check {
        of: &[
            "veddb_cache_bytes",
            "veddb_cache_limit_bytes",
            "veddb_cache_hits_total",
            "veddb_cache_misses_total",
            "veddb_cache_evictions_total",
            "veddb_index_memory_bytes",
            "veddb_index_memory_limit_bytes",
            "veddb_index_page_loads_total",
            "veddb_index_page_evictions_total",
        ],
        run: caches,
    },
    Check {
        of: &[
            "veddb_engine_disk_bytes",
            "veddb_engine_tables",
            "veddb_engine_compactor_runs_total",
            "veddb_engine_compactor_running",
            "veddb_engine_compactor_seconds_total",
        ],
        run: engine,
    },
    Check {
        of: &[
            "veddb_disk_free_bytes",
            "veddb_disk_reserve_bytes",
            "veddb_is_out_of_space",
            "veddb_commit_groups_refused_total",
        ],
        run: disk,
    },
    Check { of: &["veddb_key_lookups_total"], run: lookups },
    Check {
        of: &["veddb_expired_documents_total", "veddb_expired_keys_total", "veddb_expiry_sweeps_total"],
        run: expiry,
    },
    Check {
        of: &[
            "veddb_collections",
            "veddb_documents",
            "veddb_collection_documents",
            "veddb_collection_bytes",
            "veddb_collection_stored_bytes",
            "veddb_collections_left_off",
            "veddb_keys",
            "veddb_keys_expiring",
        ],
        run: collections,
    },
    Check {
        of: &["veddb_index_entries", "veddb_index_hits_total", "veddb_index_ready", "veddb_index_build_ratio"],
        run: indexes,
    },
];

#[test]
fn what_the_store_did_is_read_back() -> Result<()> {
    run(CHECKS)
}

/// Files of the log, and their bytes.
fn log_files(watched: &Watched) -> Result<(f64, f64)> {
    let (mut count, mut bytes) = (0.0, 0.0);
    for entry in fs::read_dir(watched.server.dir().join("log"))? {
        count += 1.0;
        bytes += entry?.metadata()?.len() as f64;
    }
    Ok((count, bytes))
}

fn commits(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    client.ask(&["DOC.SET", "c", "first", "{}"])?;
    let (before, (_, bytes_before)) = (watched.scrape()?, log_files(&watched)?);
    for at in 0..10 {
        client.ask(&["DOC.SET", "c", &at.to_string(), "{}"])?;
    }
    let (after, (segments, bytes)) = (watched.scrape()?, log_files(&watched)?);
    let grew = |name: &str, labels: Labels<'_>, by: f64| seen.grew(&before, &after, name, labels, by);
    grew("veddb_commit_groups_total", &[], 10.0)?;
    grew("veddb_commit_units_total", &[], 10.0)?;
    grew("veddb_commit_group_units_count", &[], 10.0)?;
    grew("veddb_commit_group_units_bucket", &[("le", "1")], 10.0)?;
    // One at a time, each is synced before it is answered.
    grew("veddb_log_sync_duration_seconds_count", &[], 10.0)?;
    for state in ["written", "durable"] {
        grew("veddb_log_lsn", &[("state", state)], 10.0)?;
    }
    grew("veddb_log_lsn", &[("state", "applied")], 0.0)?;
    grew("veddb_log_written_bytes_total", &[], bytes - bytes_before)?;
    seen.is(&after, "veddb_log_segments", &[], segments)?;
    seen.is(&after, "veddb_log_disk_bytes", &[], bytes)?;
    // What one client sends at once is one group.
    let sets: Vec<Vec<String>> =
        (0..20).map(|at| vec!["DOC.SET".into(), "c".into(), format!("p{at}"), "{}".into()]).collect();
    client.pipeline(&sets)?;
    let last = watched.scrape()?;
    seen.grew(&after, &last, "veddb_commit_units_total", &[], 20.0)?;
    seen.grew(&after, &last, "veddb_commit_group_units_sum", &[], 20.0)
}

/// Has a checkpoint made: an index is ready only once one has it.
fn checkpoint(client: &mut Client, collection: &str, index: &str) -> Result<()> {
    client.ask(&["IDX.CREATE", collection, index, r#"{"n":1}"#, "SYNC"])?;
    Ok(())
}

fn checkpoints(seen: &Seen) -> Result<()> {
    let mut watched = Watched::start(Options::new().set("maxmemory-writes", "20mb"))?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    seen.is(&before, "veddb_write_memory_limit_bytes", &[], f64::from(20 << 20))?;
    client.ask(&["DOC.SET", "c", "1", &format!(r#"{{"n":1,"text":"{}"}}"#, "x".repeat(1_000_000))])?;
    let was = before.get("veddb_write_memory_bytes", &[]).context("bytes")?;
    seen.within(&watched.scrape()?, "veddb_write_memory_bytes", &[], was + 1e6, was + 1.1e6)?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    checkpoint(&mut client, "c", "by_n")?;
    let after = watched.scrape()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let made = after.get("veddb_checkpoints_total", &[]).unwrap_or(0.0)
        - before.get("veddb_checkpoints_total", &[]).unwrap_or(0.0);
    ensure!(made >= 1.0, "no checkpoint was made");
    let told: f64 = client.figure("persistence", "checkpoints")?.parse()?;
    seen.within(&after, "veddb_checkpoints_total", &[], made, told)?;
    seen.grew(&before, &after, "veddb_checkpoint_duration_seconds_count", &[], made)?;
    seen.within(&after, "veddb_checkpoint_duration_seconds_sum", &[], 1e-6, now - began)?;
    seen.within(&after, "veddb_checkpoint_timestamp_seconds", &[], began - 0.001, now)?;
    // Also the entries of the index are written: nothing of them is left, though no group came since.
    seen.comes_to(&watched, "veddb_write_memory_bytes", &[], 0.0, was + 100_000.0)?;
    // After kill -9 the next start reads what no checkpoint has.
    for at in 0..7 {
        client.ask(&["DOC.SET", "c", &format!("k{at}"), "{}"])?;
    }
    let figure = |client: &mut Client, name: &str| -> Result<f64> { Ok(client.figure("persistence", name)?.parse()?) };
    let unapplied = figure(&mut client, "log_lsn_written")? - figure(&mut client, "log_lsn_applied")?;
    ensure!(unapplied >= 7.0, "{unapplied} units are in no checkpoint");
    watched.server.kill()?;
    watched.server.restart()?;
    seen.is(&watched.scrape()?, "veddb_replayed_units", &[], unapplied)
}

fn caches(seen: &Seen) -> Result<()> {
    let options = Options::new().set("maxmemory-cache", "8mb").set("maxmemory-index", "1mb");
    let mut watched = Watched::start(options)?;
    let mut client = watched.server.client()?;
    let text = "x".repeat(1000);
    let ids: Vec<String> = (0..12_000).map(|at| format!("{at:0>200}")).collect();
    for some in ids.chunks(400) {
        let sets: Vec<Vec<String>> = some
            .iter()
            .map(|id| vec!["DOC.SET".into(), "c".into(), id.clone(), format!(r#"{{"text":"{text}"}}"#)])
            .collect();
        client.pipeline(&sets)?;
    }
    // A stop writes all of it to the engine; a start has nothing in memory.
    watched.server.stop()?;
    watched.server.restart()?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    seen.is(&before, "veddb_cache_limit_bytes", &[], f64::from(8 << 20))?;
    seen.is(&before, "veddb_index_memory_limit_bytes", &[], f64::from(1 << 20))?;
    client.ask(&["DOC.GET", "c", &ids[0]])?;
    let once = watched.scrape()?;
    seen.grew(&before, &once, "veddb_cache_misses_total", &[], 1.0)?;
    seen.grew(&before, &once, "veddb_cache_hits_total", &[], 0.0)?;
    seen.within(&once, "veddb_cache_bytes", &[], 1160.0, 1600.0)?;
    // The pages on the way to one document.
    seen.within(&once, "veddb_index_page_loads_total", &[], 1.0, 6.0)?;
    client.ask(&["DOC.GET", "c", &ids[0]])?;
    let twice = watched.scrape()?;
    seen.grew(&once, &twice, "veddb_cache_hits_total", &[], 1.0)?;
    seen.grew(&once, &twice, "veddb_index_page_loads_total", &[], 0.0)?;
    for some in ids[1..].chunks(400) {
        client.pipeline(&some.iter().map(|id| vec!["DOC.GET", "c", id]).collect::<Vec<_>>())?;
    }
    let all = watched.scrape()?;
    seen.grew(&twice, &all, "veddb_cache_misses_total", &[], ids.len() as f64 - 1.0)?;
    // What went in and is not there any more was evicted. An entry takes 1160 to 1600 bytes.
    let held = all.get("veddb_cache_bytes", &[]).context("bytes")?;
    let in_and_out = |entry: f64| ids.len() as f64 - held / entry;
    seen.within(&all, "veddb_cache_evictions_total", &[], in_and_out(1160.0).floor(), in_and_out(1600.0).ceil())?;
    seen.within(&all, "veddb_index_memory_bytes", &[], 1.0, f64::from(1 << 20) * 1.1)?;
    // The pages of these ids take more than there is room for: what was loaded and is not there was evicted.
    let loads = all.get("veddb_index_page_loads_total", &[]).context("loads")?;
    seen.within(&all, "veddb_index_page_evictions_total", &[], 1.0, loads)
}

fn engine(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    let mut stored = 0.0;
    // Each round is a checkpoint, and so a table that the engine will bring together with others.
    for round in 0..12 {
        let text = "x".repeat(100_000);
        for at in 0..10 {
            client.ask(&["DOC.SET", "c", &format!("{round} {at}"), &format!(r#"{{"n":{at},"text":"{text}"}}"#)])?;
            stored += 100_000.0;
        }
        checkpoint(&mut client, "c", &format!("by_{round}"))?;
    }
    seen.comes_to(&watched, "veddb_engine_compactor_runs_total", &[], 1.0, 1000.0)?;
    seen.comes_to(&watched, "veddb_engine_compactor_running", &[], 0.0, 0.0)?;
    let after = watched.scrape()?;
    let grew = after.get("veddb_engine_disk_bytes", &[]).context("bytes")?
        - before.get("veddb_engine_disk_bytes", &[]).unwrap_or(0.0);
    ensure!(grew >= stored, "{stored} bytes were written, and the engine has {grew} more");
    // As many files as there are in its directories of tables, but for those that are going.
    let mut files = 0.0;
    for space in fs::read_dir(watched.server.dir().join("kv").join("keyspaces"))? {
        let tables = space?.path().join("tables");
        files += if tables.is_dir() { fs::read_dir(tables)?.count() as f64 } else { 0.0 };
    }
    seen.within(&after, "veddb_engine_disk_bytes", &[], stored, 4.0 * stored + f64::from(80 << 20))?;
    seen.within(&after, "veddb_engine_tables", &[], 1.0, files)?;
    seen.within(&after, "veddb_engine_compactor_seconds_total", &[], 1e-6, 60.0)
}

fn disk(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new().set("disk-reserve", "1000000000000000"))?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    seen.is(&before, "veddb_disk_reserve_bytes", &[], 1e15)?;
    let told = rustix::fs::statvfs(watched.server.dir())?;
    let free = (told.f_bavail * told.f_frsize) as f64;
    seen.within(&before, "veddb_disk_free_bytes", &[], free * 0.9, free * 1.1)?;
    for _ in 0..3 {
        ensure!(client.run(&["SET", "k", "v"])?.is_error("NOSPACE"), "it was written");
    }
    seen.is(&watched.scrape()?, "veddb_is_out_of_space", &[], 1.0)?;
    seen.grew(&before, &watched.scrape()?, "veddb_commit_groups_refused_total", &[], 3.0)
}

fn lookups(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    client.ask(&["SET", "k", "v"])?;
    client.ask(&["MGET", "k", "k", "gone"])?;
    client.ask(&["GET", "k"])?;
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_key_lookups_total", &[("result", "hit")], 3.0)?;
    seen.is(&scrape, "veddb_key_lookups_total", &[("result", "miss")], 1.0)
}

fn expiry(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    let before = watched.scrape()?;
    for at in 0..3 {
        client.ask(&["DOC.SET", "c", &at.to_string(), "{}", "PX", "1"])?;
    }
    for at in 0..4 {
        client.ask(&["SET", &format!("k{at}"), "v", "PX", "1"])?;
    }
    seen.comes_to(&watched, "veddb_expired_documents_total", &[], 3.0, 3.0)?;
    seen.comes_to(&watched, "veddb_expired_keys_total", &[], 4.0, 4.0)?;
    let sweeps = before.get("veddb_expiry_sweeps_total", &[]).context("sweeps")?;
    seen.comes_to(&watched, "veddb_expiry_sweeps_total", &[], sweeps + 2.0, sweeps + 1000.0)
}

fn collections(seen: &Seen) -> Result<()> {
    const ODD: &str = "we\"ird\\ n\u{e4}me{}=,";
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    for (collection, count) in [("plain", 3), (ODD, 5)] {
        for at in 0..count {
            client.ask(&["DOC.SET", collection, &at.to_string(), r#"{"text":"some"}"#])?;
        }
    }
    for at in 0..5 {
        client.ask(&["SET", &format!("k{at}"), "v"])?;
    }
    client.ask(&["EXPIRE", "k0", "1000"])?;
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_collections", &[], 2.0)?;
    seen.is(&scrape, "veddb_documents", &[], 8.0)?;
    seen.is(&scrape, "veddb_collections_left_off", &[], 0.0)?;
    seen.is(&scrape, "veddb_keys", &[("database", "0")], 5.0)?;
    seen.is(&scrape, "veddb_keys_expiring", &[("database", "0")], 1.0)?;
    for (collection, count) in [("plain", 3.0), (ODD, 5.0)] {
        let labels = [("database", "0"), ("collection", collection)];
        seen.is(&scrape, "veddb_collection_documents", &labels, count)?;
        let told = client.ask(&["DOC.STATS", collection])?;
        let told = |name: &str| Some(told.get(name)?.expect_integer() as f64);
        seen.is(&scrape, "veddb_collection_bytes", &labels, told("size").context("size")?)?;
        seen.is(&scrape, "veddb_collection_stored_bytes", &labels, told("storageSize").context("storageSize")?)?;
    }
    client.ask(&["CONFIG", "SET", "metrics-max-collections", "1"])?;
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_collections_left_off", &[], 1.0)?;
    ensure!(scrape.all("veddb_collection_documents").count() == 1, "more than one is shown");
    let labels = [("database", "0"), ("collection", ODD)];
    seen.is(&scrape, "veddb_collection_documents", &labels, 5.0)?;
    // Who is shown gives way only to one that is clearly larger.
    client.ask(&["DOC.INSERT", "plain", "{}", "{}", "{}"])?;
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_documents", &[], 11.0)?;
    seen.is(&scrape, "veddb_collection_documents", &labels, 5.0)?;
    client.ask(&["DOC.INSERT", "plain", "{}"])?;
    let scrape = watched.scrape()?;
    seen.is(&scrape, "veddb_collection_documents", &[("database", "0"), ("collection", "plain")], 7.0)?;
    ensure!(scrape.get("veddb_collection_documents", &labels).is_none(), "more than one is shown");
    Ok(())
}

fn indexes(seen: &Seen) -> Result<()> {
    let watched = Watched::start(Options::new())?;
    let mut client = watched.server.client()?;
    for at in 0..6 {
        client.ask(&["DOC.SET", "c", &at.to_string(), &format!(r#"{{"n":{},"same":1}}"#, at)])?;
    }
    client.ask(&["IDX.CREATE", "c", "by_n", r#"{"n":1}"#, "SYNC"])?;
    let failed = client.run(&["IDX.CREATE", "c", "unique", r#"{"same":1}"#, "UNIQUE", "SYNC"])?;
    ensure!(failed.is_error("DUPKEY"), "{failed}");
    let labels = |index: &'static str| [("database", "0"), ("collection", "c"), ("index", index)];
    let before = watched.scrape()?;
    seen.is(&before, "veddb_index_ready", &labels("by_n"), 1.0)?;
    seen.is(&before, "veddb_index_ready", &labels("unique"), 0.0)?;
    seen.is(&before, "veddb_index_build_ratio", &labels("by_n"), 1.0)?;
    seen.is(&before, "veddb_index_entries", &labels("by_n"), 6.0)?;
    for _ in 0..4 {
        let found = client.ask(&["DOC.FIND", "c", r#"{"n":3}"#, "HINT", "by_n"])?;
        ensure!(matches!(&found, Value::Array(found) if found.len() == 1), "{found}");
    }
    client.ask(&["DOC.DEL", "c", "0"])?;
    let after = watched.scrape()?;
    seen.grew(&before, &after, "veddb_index_hits_total", &labels("by_n"), 4.0)?;
    seen.is(&after, "veddb_index_entries", &labels("by_n"), 5.0)?;
    // By everybody at once: what they are told is whole, and of the time when they asked.
    thread::scope(|scope| {
        let scrapers: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| -> Result<bool> {
                    Ok(watched.scrape()?.get("veddb_index_entries", &labels("by_n")) == Some(5.0))
                })
            })
            .collect();
        let all: Result<Vec<bool>> = scrapers
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a scraper panicked"))))
            .collect();
        ensure!(all?.into_iter().all(|right| right), "a scraper was told something else");
        Ok(())
    })?;
    until("it is gone", || {
        client.ask(&["IDX.DROP", "c", "by_n"])?;
        Ok(watched.scrape()?.get("veddb_index_entries", &labels("by_n")).is_none())
    })
}
