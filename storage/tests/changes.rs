//! Reading changes: only what is on disk, every one of them between any two places, by the names of their time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::writer::{Random, seed, unit};
use common::{commit, try_commit};
use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{Change, ChangePlace, Error, FollowError, FsyncPolicy, Options, Position, Store};

fn options(dir: &Path) -> Options {
    Options {
        write_memory_bytes: 300_000,
        index_memory_bytes: 100_000,
        log_segment_bytes: 20_000,
        log_kept_bytes: 10 << 20,
        // However full the disk of the tests is.
        disk_reserve_bytes: 0,
        // What expires is deleted when the tests say so.
        ttl_sweep_ms: 3_600_000,
        ..Options::new(dir.join("data"))
    }
}

/// For tests of many units: nothing is synced until it is told of.
fn unsynced(dir: &Path) -> Options {
    Options { fsync: FsyncPolicy::No, ..options(dir) }
}

fn open(options: Options) -> Store {
    Store::open(options, &MasterKeySource::Unnamed).unwrap()
}

fn body(id: &str, padding: usize) -> Box<[u8]> {
    let text = format!("{{\"_id\":{id:?},\"p\":\"{}\"}}", "x".repeat(padding));
    parse_document(text.as_bytes(), ParseLimits { size: 16 << 20, depth: 128 }, IdSource::Given(id)).unwrap().body
}

fn insert(store: &Store, name: &'static str, ids: &[&'static str]) {
    let ids = ids.to_vec();
    commit(store, move |tx| {
        let collection = tx.collection_or_create(0, name).unwrap();
        ids.iter().all(|id| tx.insert(collection, id.as_bytes(), body(id, 300)).is_ok())
    });
}

type Told = Vec<(ChangePlace, String)>;

/// Everything after a place, with the places after each, and the last place.
fn read(store: &Store, after: ChangePlace) -> Result<(Told, ChangePlace), FollowError> {
    let view = store.view(0);
    let mut changes = view.changes(after)?;
    let mut told = Vec::new();
    loop {
        match changes.read()? {
            Change::Event(event) => {
                let id = String::from_utf8_lossy(&event.id).into_owned();
                let text = format!("{} {}:{} {id} {}", event.kind.as_str(), event.db, event.collection, event.version);
                told.push((changes.place(), text));
            }
            Change::Passed => {}
            Change::End => return Ok((told, changes.place())),
        }
    }
}

/// The same once all is on disk.
fn told(store: &Store, after: ChangePlace) -> Result<(Told, ChangePlace), FollowError> {
    store.sync().unwrap();
    read(store, after)
}

/// Writes so many documents of 300 bytes, one a unit.
fn fill(store: &Store, name: &'static str, units: usize) {
    for _ in 0..units {
        commit(store, move |tx| {
            let collection = tx.collection_or_create(1, name).unwrap();
            let id = tx.handle(collection).unwrap().count().to_string();
            tx.insert(collection, id.as_bytes(), body(&id, 300)).is_ok()
        });
    }
}

/// Returns once what comes after a place is not kept any more.
fn until_lost(store: &Store, place: ChangePlace) {
    let until = Instant::now() + Duration::from_secs(30);
    while !matches!(read(store, place), Err(FollowError::Lost(_))) {
        assert!(Instant::now() < until, "it is still kept");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn texts(told: &Told) -> Vec<&str> {
    told.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn only_what_is_on_disk_is_told_and_who_waits_has_it_brought_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Options { fsync: FsyncPolicy::No, ..options(dir.path()) });
    let start = store.view(0).last_change();
    insert(&store, "c", &["a"]);
    assert!(read(&store, start).unwrap().0.is_empty());
    assert_eq!(store.view(0).last_change(), start);
    store.sync().unwrap();
    assert_eq!(texts(&read(&store, start).unwrap().0), ["insert 0:c a 1"]);
    insert(&store, "c", &["b"]);
    assert!(store.view(0).is_waiting_for_disk());
    let until = Instant::now() + Duration::from_secs(30);
    while read(&store, start).unwrap().0.len() < 2 {
        assert!(Instant::now() < until, "nobody has synced");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!store.view(0).is_waiting_for_disk());
}

#[test]
fn units_are_read_from_any_place_within() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(dir.path()));
    let start = store.view(0).first_change();
    insert(&store, "c", &["a", "b", "c"]);
    commit(&store, |tx| {
        let collection = tx.collection(0, "c").unwrap();
        let record = tx.find_id(collection, b"b").unwrap().unwrap();
        let before = tx.record(collection, record).unwrap().unwrap();
        tx.update(collection, record, &before, body("b", 1)).unwrap();
        let before = tx.record(collection, record).unwrap().unwrap();
        tx.delete(collection, record, &before).is_ok()
    });
    let (all, end) = read(&store, start).unwrap();
    let expected = ["insert 0:c a 1", "insert 0:c b 1", "insert 0:c c 1", "update 0:c b 2", "delete 0:c b 2"];
    assert_eq!(texts(&all), expected);
    assert_eq!(end, store.view(0).last_change());
    assert!(all[0].0.seen > 0 && all[2].0.seen == 0, "the last of a unit is all of it");
    for (at, (place, _)) in all.iter().enumerate() {
        let (rest, last) = read(&store, *place).unwrap();
        assert_eq!((&rest[..], last), (&all[at + 1..], end));
    }
    // A place that has seen more than there is has seen the unit.
    let odd = ChangePlace { seen: 99, ..all[2].0 };
    assert_eq!(read(&store, odd).unwrap().0, all[3..]);
    // Of other logs there is nothing.
    let Position { lsn, .. } = end.position;
    let at = |position| read(&store, ChangePlace { position, seen: 0 });
    assert!(matches!(at(Position { history: [1; 16], ..end.position }), Err(FollowError::Foreign)));
    assert!(matches!(at(Position { term: 7, ..end.position }), Err(FollowError::Diverged { .. })));
    for beyond in [lsn + 1, u64::MAX] {
        assert!(matches!(at(Position { lsn: beyond, ..end.position }), Err(FollowError::Diverged { .. })));
    }
    store.set_replica(true);
    assert!(matches!(at(Position { lsn: lsn + 1, term: 7, ..end.position }), Err(FollowError::Ahead(_))));
}

#[test]
fn names_are_those_of_the_time_for_as_long_as_the_log_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(unsynced(dir.path()));
    let start = store.view(0).first_change();
    insert(&store, "a", &["x"]);
    commit(&store, |tx| tx.rename_collection(0, "a", "b").is_ok());
    insert(&store, "b", &["y"]);
    commit(&store, |tx| tx.drop_collection(0, "b").unwrap());
    insert(&store, "a", &["x"]);
    let expected = ["insert 0:a x 1", "rename 0:a  0", "insert 0:b y 1", "drop 0:b  0", "insert 0:a x 1"];
    for _ in 0..4 {
        // Checkpoints, and segments that only this keeps.
        fill(&store, "fill", 3000);
        let (all, _) = told(&store, start).unwrap();
        let named: Vec<&str> = texts(&all).into_iter().filter(|text| !text.contains("1:fill")).collect();
        assert_eq!(named, expected);
        store.close();
        drop(store);
        store = open(unsynced(dir.path()));
    }
    // With nothing kept the next checkpoints take it away, and that is told.
    store.set_log_kept_bytes(0);
    fill(&store, "more", 4000);
    store.close();
    drop(store);
    let store = open(Options { log_kept_bytes: 0, ..unsynced(dir.path()) });
    assert!(matches!(read(&store, start), Err(FollowError::Lost(0))));
    assert!(read(&store, store.view(0).last_change()).unwrap().0.is_empty());
}

#[test]
fn what_is_kept_goes_where_less_is_to_be_kept_and_where_space_is_low() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(unsynced(dir.path()));
    let start = store.view(0).first_change();
    fill(&store, "fill", 3000);
    store.close();
    drop(store);
    // More than any disk has is to be left free, so nothing can be written, and no checkpoint comes that would trim anything.
    let store = open(Options { disk_reserve_bytes: 1 << 60, ..unsynced(dir.path()) });
    assert!(read(&store, start).is_ok());
    let refused = try_commit(&store, |tx| tx.collection_or_create(0, "c").is_ok());
    assert!(matches!(refused, Err(Error::NoSpace)), "{refused:?}");
    assert!(matches!(read(&store, start), Err(FollowError::Lost(0))));
    store.close();
    drop(store);
    let store = open(unsynced(dir.path()));
    let start = store.view(0).last_change();
    fill(&store, "fill", 3000);
    // A checkpoint has what is before the last segment.
    store.close();
    drop(store);
    let store = open(unsynced(dir.path()));
    assert!(read(&store, start).is_ok());
    store.set_log_kept_bytes(0);
    until_lost(&store, start);
    assert!(read(&store, store.view(0).last_change()).unwrap().0.is_empty());
}

#[test]
fn a_collection_that_nothing_happened_to_is_passed_without_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(dir.path()));
    insert(&store, "a", &["x"]);
    insert(&store, "b", &["x"]);
    let place = store.view(0).last_change();
    let unchanged = |name| store.view(0).unchanged(0, name, place);
    assert_eq!(unchanged("a"), Some(place));
    insert(&store, "b", &["y"]);
    assert_eq!(unchanged("a"), Some(store.view(0).last_change()));
    assert_eq!((unchanged("b"), unchanged("c")), (None, None));
    // There and back, and another one in its place.
    commit(&store, |tx| tx.rename_collection(0, "a", "c").is_ok());
    assert_eq!((unchanged("a"), unchanged("c")), (None, None));
    commit(&store, |tx| tx.rename_collection(0, "c", "a").is_ok());
    assert_eq!(unchanged("a"), None);
    let place = store.view(0).last_change();
    assert_eq!(store.view(0).unchanged(0, "a", place), Some(place));
    commit(&store, |tx| {
        tx.drop_collection(0, "a").unwrap();
        tx.rename_collection(0, "b", "a").is_ok()
    });
    assert_eq!(store.view(0).unchanged(0, "a", place), None);
    assert_eq!(store.view(0).unchanged(0, "a", ChangePlace { seen: 1, ..place }), None);
}

/// Random units of every kind: pieces put together are the whole, from every place on.
#[test]
fn pieces_are_the_whole() {
    let seed = seed();
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(unsynced(dir.path()));
    let start = store.view(0).first_change();
    let mut known: Told = Vec::new();
    let mut place = start;
    for round in 0..6 {
        for _ in 0..150 {
            unit(&store, &mut random);
        }
        let (more, end) = told(&store, place).unwrap();
        known.extend(more);
        place = end;
        if round % 2 == 1 {
            store.close();
            drop(store);
            store = open(unsynced(dir.path()));
        }
    }
    let (all, _) = told(&store, start).unwrap();
    let differ = all.iter().zip(&known).position(|(one, other)| one != other);
    let shown = differ.map(|at| (at, &all[at], &known[at]));
    assert!(differ.is_none() && all.len() == known.len(), "seed {seed}: {} {} {shown:?}", all.len(), known.len());
    assert!(all.len() > 100);
    for at in (0..all.len()).step_by(7) {
        assert!(read(&store, all[at].0).unwrap().0 == all[at + 1..], "seed {seed}, place {at}");
    }
}
