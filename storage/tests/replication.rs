//! Replication between stores of one process: reading the log, carrying it out, snapshots, promotions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use common::commit;
use common::stores::{apply, body, catch_up, copy, insert, open, options, pair, replica_options};
use common::writer::{Random, seed, unit, verify};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{
    Error, FollowError, Follower, Job, Options, Position, Staging, Store, Transaction, promotions, rollback_lines,
};

#[test]
fn a_follower_reads_every_unit_once_and_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let start = store.position();
    assert_eq!(start.lsn, 0);
    let woken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&woken);
    let subscription = store.on_commit(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for id in 0..100 {
        insert(&store, id);
    }
    drop(subscription);
    insert(&store, 100);
    assert_eq!(woken.load(Ordering::Relaxed), 100);
    for bytes in [1, 2000, 1 << 20] {
        let mut follower = store.follow(start).unwrap();
        let mut last = 0;
        while let Some(units) = follower.next(bytes).unwrap() {
            assert_eq!(units.first_lsn(), last + 1);
            last = units.last_lsn();
        }
        assert_eq!((last, follower.position()), (store.position().lsn, store.position()));
        insert(&store, 1000 + bytes as u64);
        assert_eq!(follower.next(bytes).unwrap().unwrap().count(), 1);
    }
    let middle = Position { lsn: 50, ..store.position() };
    let mut follower = store.follow(middle).unwrap();
    assert_eq!(follower.next(usize::MAX).unwrap().unwrap().first_lsn(), 51);
}

#[test]
fn positions_off_the_line_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for id in 0..10 {
        insert(&store, id);
    }
    let last = store.position();
    let follow = |position| store.follow(position).map(|_| ());
    assert!(follow(last).is_ok());
    assert!(matches!(follow(Position { lsn: 11, ..last }), Err(FollowError::Ahead(10))));
    assert!(matches!(follow(Position { history: [0; 16], ..last }), Err(FollowError::Foreign)));
    assert!(matches!(follow(Position { term: last.term ^ 1, ..last }), Err(FollowError::Diverged { common: None })));
    store.close();
    drop(store);
    // Another start writes under another term: units that a power cut took with it cannot be taken for those written since.
    let store = open(dir.path());
    assert_eq!(store.position(), last);
    insert(&store, 10);
    assert_ne!(store.position().term, last.term);
    let lost = Position { lsn: 11, ..last };
    assert!(matches!(store.follow(lost), Err(FollowError::Diverged { common: Some(10) })));
    assert!(store.follow(last).is_ok());
}

#[test]
fn what_a_follower_needs_is_kept_within_its_bound_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(Options { log_pinned_bytes_max: 1_500_000, ..options(dir.path()) }, &MasterKeySource::Unnamed)
            .unwrap();
    insert(&store, 0);
    let early = store.position();
    let mut follower = store.follow(early).unwrap();
    for id in 1..2000 {
        insert(&store, id);
    }
    assert!(store.stats().checkpoints > 0);
    assert_eq!(follower.next(1).unwrap().unwrap().first_lsn(), 2, "not trimmed by checkpoints");
    drop(follower);
    store.close();
    drop(store);
    let store =
        Store::open(Options { log_pinned_bytes_max: 1_500_000, ..options(dir.path()) }, &MasterKeySource::Unnamed)
            .unwrap();
    let mut follower = store.follow(early).unwrap();
    assert_eq!(follower.next(1).unwrap().unwrap().first_lsn(), 2, "kept for whoever comes back");
    for id in 2000..8000 {
        insert(&store, id);
    }
    assert!(store.stats().log_disk_bytes < 3_500_000, "{}", store.stats().log_disk_bytes);
    let lost = loop {
        match follower.next(100_000) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing was lost"),
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, FollowError::Lost(_)), "{lost}");
    assert!(matches!(store.follow(early), Err(FollowError::Lost(1))));
}

fn listing(dir: &Path, found: &mut Vec<(PathBuf, u64, SystemTime)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.metadata() {
            Ok(meta) if meta.is_dir() => listing(&path, found),
            Ok(meta) => found.push((path, meta.len(), meta.modified().unwrap())),
            Err(_) => {}
        }
    }
}

/// A copy of an open directory at one moment, which is what a kill leaves.
fn crash(from: &Path) -> tempfile::TempDir {
    loop {
        let to = tempfile::tempdir().unwrap();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        listing(from, &mut before);
        copy(from, to.path());
        listing(from, &mut after);
        if before == after {
            return to;
        }
    }
}

fn equal(primary: &Store, replica: &Store) {
    assert_eq!(primary.position(), replica.position());
    assert_eq!(primary.content_hash().unwrap(), replica.content_hash().unwrap());
    verify(replica);
}

#[test]
fn a_replica_is_equal_after_random_units_and_crashes() {
    let mut random = Random(seed());
    let (_one, mut two, primary, mut replica) = pair();
    let mut follower = primary.follow(replica.position()).unwrap();
    let mut verified = 0;
    for _ in 0..12 {
        for _ in 0..120 {
            unit(&primary, &mut random);
            if random.below(10) == 0 {
                let bytes = 1 + random.below(20_000) as usize;
                catch_up(&mut follower, &replica, bytes);
            }
        }
        catch_up(&mut follower, &replica, 1 << 20);
        // The sweeper may have written since.
        while primary.position() != replica.position() {
            catch_up(&mut follower, &replica, 1 << 20);
        }
        match random.below(3) {
            0 => {}
            1 => {
                replica.close();
                drop(replica);
                replica = Store::open(replica_options(two.path()), &MasterKeySource::Unnamed).unwrap();
            }
            _ => {
                let crashed = crash(two.path());
                replica.close();
                drop(replica);
                two = crashed;
                replica = Store::open(replica_options(two.path()), &MasterKeySource::Unnamed).unwrap();
                follower = primary.follow(replica.position()).unwrap();
            }
        }
        let (at, hash) = primary.content_hash().unwrap();
        while replica.position().lsn < at.lsn {
            catch_up(&mut follower, &replica, 1 << 20);
        }
        let (replica_at, replica_hash) = replica.content_hash().unwrap();
        if replica_at == at {
            assert_eq!(replica_hash, hash);
        }
        verified += verify(&replica);
    }
    primary.set_ttl_sweep_ms(1 << 40);
    settle(&primary, &replica, &mut follower);
    equal(&primary, &replica);
    assert!(verified > 20, "{verified}");
}

/// Waits until builds have ended on both and all that was written is on the replica.
fn settle(primary: &Store, replica: &Store, follower: &mut Follower) {
    let began = Instant::now();
    let built = |store: &Store| {
        let view = store.view(0);
        (0..2).flat_map(|db| view.collections(db)).all(|c| c.indexes().iter().all(|i| i.state() != "building"))
    };
    loop {
        let before = primary.position();
        catch_up(follower, replica, 1 << 20);
        if built(primary) && built(replica) && primary.position() == before && replica.position() == before {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "builds do not end");
        std::thread::yield_now();
    }
}

#[test]
fn nobody_else_writes_on_a_replica_and_a_promotion_is_a_new_term() {
    let (_one, two, primary, replica) = pair();
    insert(&primary, 1);
    let mut follower = primary.follow(replica.position()).unwrap();
    catch_up(&mut follower, &replica, 1 << 20);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| insert(&replica, 2)));
    assert!(refused.is_err(), "a unit of a client was taken");
    equal(&primary, &replica);
    // Units that do not follow on, and units for a primary.
    insert(&primary, 3);
    insert(&primary, 4);
    let mut late = primary.follow(primary.position()).unwrap();
    insert(&primary, 5);
    let gap = late.next(1000).unwrap().unwrap();
    assert!(matches!(apply(&replica, gap.clone()), Err(Error::OutOfStep { expected: 2, found: 4 })));
    assert!(matches!(apply(&primary, gap), Err(Error::ReadOnly)));
    catch_up(&mut follower, &replica, 1 << 20);
    equal(&primary, &replica);

    let before = replica.position();
    let term = replica.promote().unwrap();
    assert_eq!((promotions(term), promotions(before.term)), (1, 0));
    assert_eq!(replica.position(), Position { term, lsn: before.lsn + 1, ..before });
    assert_eq!(replica.position_durable(), replica.position());
    insert(&replica, 6);
    // The old primary goes on by itself, and comes back.
    insert(&primary, 7);
    insert(&primary, 8);
    let lost = primary.position();
    assert!(matches!(replica.follow(lost), Err(FollowError::Diverged { common: Some(lsn) }) if lsn == before.lsn));
    assert_eq!(replica.common(&primary.terms(), lost.lsn), before.lsn);
    assert_eq!(primary.common(&replica.terms(), replica.position().lsn), before.lsn);
    // Another one that was not written to just goes on.
    assert!(replica.follow(before).is_ok());
    let position = replica.position();
    replica.close();
    drop(replica);
    let replica = open(two.path());
    assert_eq!((replica.position(), promotions(replica.terms().last().unwrap().term)), (position, 1));
}

/// A store with a life of its own, which an export is to replace.
fn other_store(random: &mut Random) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..50 {
        unit(&store, random);
    }
    store.close();
    dir
}

fn content_of(dir: &Path) -> (Position, [u8; 32]) {
    let store = Store::open(replica_options(dir), &MasterKeySource::Unnamed).unwrap();
    let content = store.content_hash().unwrap();
    store.close();
    content
}

#[test]
fn an_export_under_load_becomes_an_equal_store_whatever_happens_on_the_way() {
    let mut random = Random(seed());
    let (source, mut dir) = (tempfile::tempdir().unwrap(), other_store(&mut random));
    let primary =
        Store::open(Options { ttl_sweep_ms: 20, ..options(source.path()) }, &MasterKeySource::Unnamed).unwrap();
    for _ in 0..400 {
        unit(&primary, &mut random);
    }
    for id in 0..9000 {
        insert(&primary, id);
    }
    let old = content_of(dir.path());
    let mut export = primary.export().unwrap();
    let (id, header) = (export.header().id, export.header().clone());
    let begin = |dir: &Path| Staging::begin(&replica_options(dir), &MasterKeySource::Unnamed, &header).unwrap();
    let mut staging = begin(dir.path());
    let mut first_chunks = Vec::new();
    let hash = loop {
        for _ in 0..20 {
            unit(&primary, &mut random);
        }
        match random.below(5) {
            0 => {
                // The link was cut.
                drop(export);
                export = primary.resume_export(id).unwrap();
                assert!(primary.resume_export(id).is_none(), "it is taken");
            }
            1 => {
                // The process was killed: the old data are there, and what was staged.
                let crashed = crash(dir.path());
                drop(staging);
                dir = crashed;
                assert_eq!(content_of(dir.path()), old);
                let resumed = Staging::resume(&replica_options(dir.path()), &MasterKeySource::Unnamed).unwrap();
                staging = resumed.unwrap_or_else(|| begin(dir.path()));
            }
            _ => {}
        }
        let number = staging.next_chunk();
        let Some(chunk) = export.chunk(number).unwrap() else { break export.hash().unwrap() };
        if first_chunks.len() as u64 == number {
            first_chunks.push(chunk.clone());
        }
        assert!(chunk == first_chunks[number as usize], "chunk {number} was another before");
        let mut changed = chunk.clone();
        let at = random.below(chunk.len() as u64) as usize;
        changed[at] ^= 1;
        assert!(matches!(staging.write(&changed), Err(Error::Refused(_))));
        assert!(matches!(staging.write(&chunk[..at]), Err(Error::Refused(_))));
        staging.write(&chunk).unwrap();
        assert!(matches!(staging.write(&chunk), Err(Error::Refused(_))));
    };
    assert!(first_chunks.len() > 2);
    let staged = staging.finish(hash).unwrap();
    let whole = crash(dir.path());
    assert_eq!(content_of(whole.path()), old, "not before it is put in place");
    let reader = Store::open(replica_options(dir.path()), &MasterKeySource::Unnamed).unwrap();
    assert!(matches!(staged.install(), Err(Error::Busy(_))));
    let view = reader.view(0);
    reader.close();
    assert!(matches!(staged.install(), Err(Error::Busy(_))), "somebody reads");
    drop((view, reader));
    staged.install().unwrap();
    assert!(!dir.path().join("data/sync").exists());
    let replica = Store::open(replica_options(dir.path()), &MasterKeySource::Unnamed).unwrap();
    assert_eq!(replica.position(), header.position);
    primary.set_ttl_sweep_ms(1 << 40);
    let mut follower = primary.follow(replica.position()).unwrap();
    settle(&primary, &replica, &mut follower);
    equal(&primary, &replica);
    replica.promote().unwrap();
    unit(&replica, &mut random);
    verify(&replica);
}

#[test]
fn exports_end_with_their_time_and_are_few() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    insert(&store, 1);
    let mut held: Vec<_> = (0..4).map(|_| store.export().unwrap()).collect();
    assert!(matches!(store.export(), Err(Error::Busy(_))));
    assert!(matches!(held[0].chunk(1), Err(Error::Refused(_))), "chunk 0 comes first");
    let id = held[1].header().id;
    assert!(held[1].chunk(0).unwrap().is_some() && held[1].chunk(1).unwrap().is_none());
    assert!(held[1].hash().is_some() && held[0].hash().is_none());
    held.remove(1);
    assert!(store.export().is_ok(), "in the place of the one that nobody reads");
    assert!(store.resume_export(id).is_none());
    let ended = held.pop().unwrap();
    let id = ended.header().id;
    ended.end();
    assert!(store.resume_export(id).is_none());
    store.close();
    assert!(matches!(held[0].chunk(0), Err(Error::Refused(_))));

    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(Options { export_age_ms_max: 0, ..options(dir.path()) }, &MasterKeySource::Unnamed).unwrap();
    let mut export = store.export().unwrap();
    assert!(store.resume_export(export.header().id).is_none());
    assert!(matches!(export.chunk(0), Err(Error::Refused(_))));
}

/// A whole copy of `source` in the place of what is in this directory.
fn resynchronise(source: &Store, dir: &Path) -> Store {
    let mut export = source.export().unwrap();
    let options = replica_options(dir);
    let mut staging = Staging::begin(&options, &MasterKeySource::Unnamed, export.header()).unwrap();
    while let Some(chunk) = export.chunk(staging.next_chunk()).unwrap() {
        staging.write(&chunk).unwrap();
    }
    staging.finish(export.hash().unwrap()).unwrap().install().unwrap();
    Store::open(options, &MasterKeySource::Unnamed).unwrap()
}

fn lines(path: &Path, dir: &Path) -> Vec<serde_json::Value> {
    let mut text = Vec::new();
    rollback_lines(path, &dir.join("data"), &MasterKeySource::Unnamed, &mut |lines| {
        text.extend_from_slice(lines);
        Ok(())
    })
    .unwrap();
    text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

#[test]
fn a_returning_primary_keeps_its_tail_aside_and_follows() {
    let (one, _two, old, new) = pair();
    insert(&old, 1);
    let mut follower = old.follow(new.position()).unwrap();
    catch_up(&mut follower, &new, 1 << 20);
    let common = old.position();
    assert!(old.rollback_tail(common.lsn, &MasterKeySource::Unnamed).unwrap().is_none());
    new.promote().unwrap();
    insert(&new, 2);
    // Nobody else has these.
    insert(&old, 777);
    commit(&old, |tx| {
        let collection = tx.collection(0, "c").unwrap();
        let record = tx.find_id(collection, b"id1").unwrap().unwrap();
        let before = tx.record(collection, record).unwrap().unwrap();
        tx.delete(collection, record, &before).unwrap();
        tx.rename_collection(0, "c", "other").unwrap();
        true
    });
    assert_eq!(new.common(&old.terms(), old.position().lsn), common.lsn);
    old.set_replica(true);
    let kept = old.rollback_tail(common.lsn, &MasterKeySource::Unnamed).unwrap().unwrap();
    assert_eq!((kept.units, kept.changes, kept.missing), (2, 3, 0));
    let sealed = std::fs::read(&kept.path).unwrap();
    assert!(!sealed.windows(5).any(|bytes| bytes == b"id777" || bytes == b"xxxxx"));
    drop(follower);
    old.close();
    drop(old);
    let old = resynchronise(&new, one.path());
    let mut follower = new.follow(old.position()).unwrap();
    insert(&new, 3);
    catch_up(&mut follower, &old, 1 << 20);
    equal(&new, &old);
    // Also by the master key alone, under the new keyring.
    let lines = lines(&kept.path, one.path());
    let ops: Vec<_> = lines[1..].iter().map(|l| (l["op"].as_str().unwrap(), l["coll"].as_str().unwrap())).collect();
    assert_eq!(ops, [("insert", "c"), ("delete", "c"), ("rename", "c")]);
    assert_eq!(lines[0]["common"], common.lsn);
    assert_eq!(lines[1]["doc"]["_id"], "id777");
    assert_eq!((lines[2]["id"].as_str().unwrap(), lines[2]["version"].as_u64().unwrap()), ("id1", 1));
}

#[test]
fn events_say_what_happened_by_the_names_of_then() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let start = store.position();
    insert(&store, 1);
    commit(&store, |tx| {
        let collection = tx.collection(0, "c").unwrap();
        let record = tx.find_id(collection, b"id1").unwrap().unwrap();
        let of = |tx: &mut veddb_storage::Transaction<'_>| tx.record(collection, record).unwrap().unwrap();
        let before = of(tx);
        tx.update(collection, record, &before, body("id1", 2)).unwrap();
        let before = of(tx);
        tx.replace(collection, record, &before, body("id1", 3)).unwrap();
        let before = of(tx);
        tx.set_expiry(collection, record, &before, u64::MAX).unwrap();
        let before = of(tx);
        tx.delete(collection, record, &before).unwrap();
        true
    });
    commit(&store, |tx| tx.rename_collection(0, "c", "d").is_ok());
    commit(&store, |tx| tx.drop_collection(0, "d").is_ok());
    commit(&store, |tx| tx.create_own_collection(1, "_t", "{}").is_ok());
    commit(&store, |tx| {
        let own = tx.own_collection(1, "_t").unwrap();
        tx.insert(own, b"id2", body("id2", 1)).unwrap();
        tx.rename_own_collection(1, "_t", "made").is_ok()
    });
    let told = |store: &Store| {
        let mut follower = store.follow(start).unwrap();
        let mut told = Vec::new();
        while let Some(units) = follower.next(1 << 20).unwrap() {
            for event in store.events(&units).unwrap() {
                assert_eq!(event.document.as_ref().map(|d| d.version), event.document.as_ref().map(|_| event.version));
                told.push(format!(
                    "{} {} {}.{} v{}",
                    event.lsn,
                    event.kind.as_str(),
                    event.db,
                    event.collection,
                    event.version
                ));
            }
        }
        told
    };
    let expected = [
        "1 insert 0.c v1",
        "2 update 0.c v2",
        "2 replace 0.c v3",
        "2 delete 0.c v3",
        "3 rename 0.c v0",
        "4 drop 0.d v0",
        "6 rename 1._t v0",
    ];
    assert_eq!(told(&store), expected);
    store.close();
    drop(store);
    let store = open(dir.path());
    assert_eq!(told(&store), expected, "names are remembered as long as the log is");
}

/// Two units of one job: between them somebody makes the store a replica.
struct TwoUnits {
    name: &'static str,
    store: Arc<Store>,
    done: Sender<Result<(), Error>>,
}

impl Job for TwoUnits {
    fn units(&self) -> usize {
        2
    }
    fn run(&mut self, at: usize, transaction: &mut Transaction<'_>) -> bool {
        if at == 1 {
            let store = Arc::clone(&self.store);
            // Returns when this job is over, which is what it is for.
            std::thread::spawn(move || store.set_replica(true));
            while !self.store.is_replica() {
                std::thread::yield_now();
            }
        }
        let (id, collection) = (format!("{}{at}", self.name), transaction.collection_or_create(0, "c").unwrap());
        transaction.insert(collection, id.as_bytes(), body(&id, 300)).is_ok()
    }
    fn finished(self: Box<Self>, outcome: Result<(), Error>) {
        self.done.send(outcome).unwrap();
    }
}

/// What is told of a unit is what became of it.
#[test]
fn a_job_is_carried_out_or_refused_as_a_whole_when_the_store_becomes_a_replica() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    insert(&store, 1);
    let before = store.position().lsn;
    let (done, wait) = channel();
    let job = TwoUnits { name: "first", store: Arc::clone(&store), done: done.clone() };
    assert!(store.submit(Box::new(job)).is_ok());
    let outcome = wait.recv().unwrap();
    let written = store.position().lsn - before;
    assert_eq!((outcome.is_ok(), written), (true, 2), "{outcome:?}");
    let job = TwoUnits { name: "second", store: Arc::clone(&store), done };
    assert!(store.submit(Box::new(job)).is_ok());
    assert!(matches!(wait.recv().unwrap(), Err(Error::ReadOnly)));
    assert_eq!(store.position().lsn - before, 2);
}

#[test]
fn units_of_another_line_are_not_taken_for_those_that_are_here() {
    let (_one, _two, primary, replica) = pair();
    primary.set_ttl_sweep_ms(1 << 40);
    insert(&primary, 1);
    let mut follower = primary.follow(replica.position()).unwrap();
    let units = follower.next(1 << 20).unwrap().unwrap();
    apply(&replica, units.clone()).unwrap();
    // Once more, which is nothing new.
    assert_eq!(apply(&replica, units.clone()).unwrap().lsn, primary.position().lsn);
    // Others of the same LSNs.
    replica.promote().unwrap();
    insert(&replica, 2);
    insert(&primary, 3);
    insert(&primary, 4);
    replica.set_replica(true);
    let before = replica.content_hash().unwrap();
    let others = follower.next(1 << 20).unwrap().unwrap();
    assert!(matches!(apply(&replica, others), Err(Error::OffLine { .. })));
    assert_eq!(replica.content_hash().unwrap(), before);
}

#[test]
fn a_promotion_goes_past_any_other_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    insert(&store, 1);
    let before = store.position().lsn;
    let term = store.promote_past(70_000 << 32 | 5).unwrap();
    assert_eq!((promotions(term), store.position().lsn), (70_001, before + 1));
    assert_eq!(promotions(store.promote().unwrap()), 70_002);
    assert!(matches!(store.promote_past(u64::MAX), Err(Error::Refused(_))), "there is no later one");
    assert_eq!(promotions(store.position().term), 70_002);
    insert(&store, 2);
}
