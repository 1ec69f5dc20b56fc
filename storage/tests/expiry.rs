//! Documents that expire: what readers and writers see of them, and what restarts, crashes and sweeps leave.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{
    CollectionId, Error, FsyncPolicy, IndexDefinition, IndexSpec, Options, RecordId, Store, Transaction, Verified,
};

/// Runs a unit; an error takes it back.
fn commit<T: Send + 'static>(
    store: &Store,
    unit: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = channel();
    let mut unit = Some(unit);
    let run = move |tx: &mut Transaction<'_>| {
        let outcome = (unit.take().unwrap())(tx);
        let good = outcome.is_ok();
        answer.send(outcome).unwrap();
        good
    };
    common::commit(store, run);
    answered.recv().unwrap()
}

fn open(dir: &Path, ttl_sweep_ms: u64) -> Store {
    let options = Options {
        write_memory_bytes: 100_000,
        index_memory_bytes: 100_000,
        cache_memory_bytes: 100_000,
        log_segment_bytes: 50_000,
        fsync: FsyncPolicy::No,
        ttl_sweep_ms,
        ..Options::new(dir.join("data"))
    };
    Store::open(options, &MasterKeySource::Unnamed).unwrap()
}

/// Nothing is swept while a test runs.
const NEVER: u64 = 3_600_000;
/// A time that does not come while a test runs, ms since 1970.
const FAR: u64 = 4_000_000_000_000;

fn body(id: &str, n: u64) -> Box<[u8]> {
    let text = format!("{{\"_id\":{id:?},\"n\":{n},\"p\":\"{}\"}}", "x".repeat(n as usize % 200));
    parse_document(text.as_bytes(), ParseLimits::default(), IdSource::Given(id)).unwrap().body
}

fn verified(store: &Store) -> Verified {
    let view = store.view(0);
    let collection = view.collection(0, "c").unwrap();
    let found: Result<Verified, Error> = view.verify(&collection, None, "_id_", || Ok(()));
    found.unwrap()
}

fn check_verified(store: &Store) {
    let found = verified(store);
    assert_eq!((found.missing, found.dangling), (0, 0), "{found:?}");
}

fn index(store: &Store, name: &str, keys: &str, unique: bool) {
    let (name, keys) = (name.to_owned(), keys.to_owned());
    let definition = IndexDefinition { name: name.clone(), keys, unique, ..IndexDefinition::default() };
    commit(store, |tx| {
        let c = tx.collection_or_create(0, "c")?;
        tx.create_index(c, IndexSpec::new(definition)?)
    })
    .unwrap();
    wait_until(|| store.view(0).collection(0, "c").unwrap().index(&name).is_some_and(veddb_storage::Index::is_ready));
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::yield_now();
    }
}

/// Waits until units have this time.
fn wait_for(store: &Store, ms: u64) {
    wait_until(|| commit(store, |tx| Ok(tx.now_ms())).unwrap() >= ms);
}

fn insert(store: &Store, id: &'static str, n: u64, after_ms: u64) -> Result<u64, Error> {
    commit(store, move |tx| {
        let c = tx.collection_or_create(0, "c")?;
        let expires_ms = if after_ms == 0 { 0 } else { tx.now_ms() + after_ms };
        tx.insert_expiring(c, id.as_bytes(), body(id, n), expires_ms).map(|_| expires_ms)
    })
}

/// Of each document its version, `n` and expiry.
type Model = BTreeMap<String, (u64, u64, u64)>;

/// Compares at several times, in all the ways in which documents are read.
fn check(store: &Store, model: &Model) {
    for now_ms in [0, FAR, FAR + 3, FAR + 5, u64::MAX] {
        let view = store.view(now_ms);
        let Some(collection) = view.collection(0, "c") else {
            assert!(model.is_empty());
            continue;
        };
        let lives = |expires_ms: u64| expires_ms == 0 || expires_ms > now_ms;
        let expected: Model = model.iter().filter(|(_, d)| lives(d.2)).map(|(id, d)| (id.clone(), *d)).collect();
        let mut scanned = Model::new();
        for found in view.scan(&collection) {
            let (record, document) = found.unwrap();
            let id = String::from_utf8(document.id().into()).unwrap();
            assert!(view.record(&collection, record).unwrap().is_some());
            let n = expected.get(&id).map_or(0, |d| d.1);
            assert!(*document.body == *body(&id, n));
            scanned.insert(id, (document.version, n, document.expires_ms));
        }
        assert_eq!(scanned, expected, "at {now_ms}");
        assert_eq!(view.count(&collection).unwrap(), expected.len() as u64);
        assert_eq!(view.expired(&collection).unwrap(), (model.len() - expected.len()) as u64);
        for (id, (version, _, expires_ms)) in model {
            let found = view.get(&collection, id.as_bytes()).unwrap();
            assert_eq!(found.map(|d| (d.version, d.expires_ms)), lives(*expires_ms).then_some((*version, *expires_ms)));
            assert_eq!(view.find_id(&collection, id.as_bytes()).unwrap().is_some(), lives(*expires_ms));
        }
    }
}

type Change = Box<dyn Fn(&mut Transaction<'_>, CollectionId) -> Result<(), Error> + Send>;

fn held(tx: &mut Transaction<'_>, c: CollectionId, id: &str) -> (RecordId, std::sync::Arc<veddb_storage::Document>) {
    let record = tx.find_id(c, id.as_bytes()).unwrap().unwrap();
    (record, tx.record(c, record).unwrap().unwrap())
}

/// One random unit; a fifth of them fail at their end.
fn step(store: &Store, model: &mut Model, below: &mut impl FnMut(u64) -> u64) {
    let mut after = model.clone();
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..1 + below(4) {
        let (id, n) = (format!("id{}", below(150)), below(1000));
        let expires_ms = if below(3) == 0 { 0 } else { FAR + below(8) };
        match (after.get(&id).copied(), below(5)) {
            (None, _) => {
                after.insert(id.clone(), (1, n, expires_ms));
                changes.push(Box::new(move |tx, c| {
                    tx.insert_expiring(c, id.as_bytes(), body(&id, n), expires_ms).map(|_| ())
                }));
            }
            (Some((version, ..)), 0) => {
                after.insert(id.clone(), (version + 1, n, expires_ms));
                changes.push(Box::new(move |tx, c| {
                    let (record, before) = held(tx, c, &id);
                    tx.replace_expiring(c, record, &before, body(&id, n), expires_ms).map(|_| ())
                }));
            }
            (Some((version, _, kept_ms)), 1) => {
                after.insert(id.clone(), (version + 1, n, kept_ms));
                changes.push(Box::new(move |tx, c| {
                    let (record, before) = held(tx, c, &id);
                    tx.replace(c, record, &before, body(&id, n)).map(|_| ())
                }));
            }
            (Some((version, n, _)), 2 | 3) => {
                // Now and then a time that has passed, which deletes.
                let past = below(6) == 0;
                if past {
                    after.remove(&id);
                } else {
                    after.insert(id.clone(), (version, n, expires_ms));
                }
                changes.push(Box::new(move |tx, c| {
                    let (record, before) = held(tx, c, &id);
                    tx.set_expiry(c, record, &before, if past { 1 } else { expires_ms })
                }));
            }
            (Some(_), _) => {
                after.remove(&id);
                changes.push(Box::new(move |tx, c| {
                    let (record, before) = held(tx, c, &id);
                    tx.delete(c, record, &before)
                }));
            }
        }
    }
    let fails = below(5) == 0;
    let outcome = commit(store, move |tx| {
        let c = tx.collection_or_create(0, "c")?;
        for change in &changes {
            change(tx, c)?;
        }
        if fails { Err(Error::BadDocument("on purpose".into())) } else { Ok(()) }
    });
    assert_eq!(outcome.is_err(), fails, "{outcome:?}");
    if !fails {
        *model = after;
    }
}

#[test]
fn a_random_history_of_expiries_survives_restarts_and_crashes() {
    let seed: u64 = 20_261_126;
    println!("seed {seed}");
    let mut random = seed;
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    for round in 0..6 {
        let store = open(dir.path(), NEVER);
        check(&store, &model);
        if round == 2 {
            index(&store, "by_n", r#"{"n":1}"#, false);
        }
        for at in 0..800 {
            step(&store, &mut model, &mut below);
            if at % 100 == 99 {
                check(&store, &model);
                check_verified(&store);
            }
        }
        assert!(store.stats().checkpoints > 0);
        check(&store, &model);
        check_verified(&store);
        if round % 2 == 1 {
            // The files as they are while the store is open are what a kill would leave.
            store.sync().unwrap();
            let copy = tempfile::tempdir().unwrap();
            common::copy_as_killed(&dir.path().join("data"), copy.path());
            let crashed = open(copy.path(), NEVER);
            check(&crashed, &model);
            check_verified(&crashed);
        }
    }
}

#[test]
fn an_expired_document_holds_neither_its_id_nor_a_unique_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NEVER);
    index(&store, "by_n", r#"{"n":1}"#, true);
    let due = insert(&store, "a", 1, 200).unwrap().max(insert(&store, "b", 2, 200).unwrap());
    insert(&store, "c", 3, 0).unwrap();
    wait_for(&store, due);
    commit(&store, |tx| {
        let c = tx.collection(0, "c").unwrap();
        let record = tx.find_id(c, b"a")?.unwrap();
        assert!(tx.record(c, record)?.is_none());
        Ok(())
    })
    .unwrap();
    assert_eq!(store.view(0).collection(0, "c").unwrap().count(), 3, "nothing was swept");
    // Refused by the third document, after the second was deleted: all of it is taken back.
    let both = commit(&store, |tx| {
        let c = tx.collection(0, "c").unwrap();
        tx.insert(c, b"x", body("x", 2))?;
        tx.insert(c, b"y", body("y", 3))
    });
    assert!(matches!(both, Err(Error::DuplicateKey { .. })), "{both:?}");
    assert_eq!(verified(&store).documents, 3);
    check_verified(&store);
    insert(&store, "a", 7, 0).unwrap();
    insert(&store, "y", 2, 0).unwrap();
    let view = store.view(u64::MAX);
    let collection = view.collection(0, "c").unwrap();
    let ids: Vec<String> =
        view.scan(&collection).map(|d| String::from_utf8(d.unwrap().1.id().into()).unwrap()).collect();
    assert_eq!(ids, ["c", "a", "y"]);
    assert_eq!((view.count(&collection).unwrap(), collection.count()), (3, 3));
    assert_eq!(view.get(&collection, b"a").unwrap().unwrap().version, 1);
    check_verified(&store);
    drop((collection, view, store));
    let reopened = open(dir.path(), NEVER);
    assert_eq!(verified(&reopened).documents, 3);
    check_verified(&reopened);
}

#[test]
fn a_time_that_has_passed_deletes_in_the_same_unit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NEVER);
    insert(&store, "a", 1, 0).unwrap();
    let count = || store.view(0).collection(0, "c").unwrap().count();
    commit(&store, |tx| {
        let c = tx.collection(0, "c").unwrap();
        tx.insert_expiring(c, b"b", body("b", 2), 5)?;
        assert!(tx.find_id(c, b"b")?.is_none());
        let (record, before) = held(tx, c, "a");
        assert_eq!(tx.replace_expiring(c, record, &before, body("a", 2), 5)?, 2);
        assert!(tx.record(c, record)?.is_none());
        Ok(())
    })
    .unwrap();
    assert_eq!(count(), 0);
    check_verified(&store);
}

#[test]
fn what_has_expired_is_deleted_soon() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 20);
    index(&store, "by_n", r#"{"n":1}"#, false);
    commit(&store, |tx| {
        let c = tx.collection_or_create(0, "c")?;
        for n in 0..1300_u64 {
            let (id, now_ms) = (format!("id{n}"), tx.now_ms());
            let expires_ms = match n % 4 {
                0 => 0,
                1 => FAR,
                _ => now_ms + 100 + n % 50,
            };
            tx.insert_expiring(c, id.as_bytes(), body(&id, n), expires_ms)?;
        }
        Ok(())
    })
    .unwrap();
    wait_until(|| store.view(0).collection(0, "c").unwrap().count() <= 650);
    let found = verified(&store);
    // Of each document one entry in the index on _id and one in the other, and half of them have an expiry.
    assert_eq!((found.documents, found.entries), (650, 2 * 650 + 325), "{found:?}");
    check_verified(&store);
    assert_eq!(store.stats().ttl_deleted, 650);
    drop(store);
    let reopened = open(dir.path(), NEVER);
    check_verified(&reopened);
    assert_eq!(reopened.view(u64::MAX).count(&reopened.view(0).collection(0, "c").unwrap()).unwrap(), 325);
}

#[test]
fn an_expired_document_does_not_make_a_unique_index_fail() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NEVER);
    let due = insert(&store, "a", 1, 50).unwrap();
    insert(&store, "b", 1, 0).unwrap();
    wait_for(&store, due);
    drop(store);
    // The build goes on until a sweep has deleted it.
    let store = open(dir.path(), 100);
    index(&store, "by_n", r#"{"n":1}"#, true);
    check_verified(&store);
}
