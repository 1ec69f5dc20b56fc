//! The store against a plain map: random units, checkpoints, clean restarts, copies of a live directory as crashes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::commit;
use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{Error, FsyncPolicy, Options, Store, Transaction, View};

type Change = Box<dyn Fn(&mut Transaction<'_>) + Send>;
fn open(dir: &Path) -> Store {
    open_with(dir, 200_000)
}

fn open_with(dir: &Path, cache_memory_bytes: usize) -> Store {
    let options = Options {
        write_memory_bytes: 300_000,
        index_memory_bytes: 100_000,
        cache_memory_bytes,
        log_segment_bytes: 50_000,
        fsync: FsyncPolicy::No,
        ..Options::new(dir.join("data"))
    };
    Store::open(options, &MasterKeySource::Unnamed).unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a collection must hold, in natural order: record -> (id, version, padding).
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    collections: BTreeMap<String, BTreeMap<u64, (String, u64, usize)>>,
}

fn body(id: &str, padding: usize) -> Box<[u8]> {
    let text = format!("{{\"_id\":{id:?},\"p\":\"{}\"}}", "x".repeat(padding));
    let limits = ParseLimits { size: 16 << 20, depth: 128 };
    parse_document(text.as_bytes(), limits, IdSource::Given(id)).unwrap().body
}

fn check(store: &Store, model: &Model) {
    check_view(&store.view(0), model);
}

fn check_view(view: &View, model: &Model) {
    let names: Vec<String> = view.collections(0).iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(names, model.collections.keys().cloned().collect::<Vec<_>>());
    for (name, documents) in &model.collections {
        let collection = view.collection(0, name).unwrap();
        assert_eq!(collection.count(), documents.len() as u64, "{name}");
        let scanned: Vec<(u64, String, u64, usize)> = view
            .scan(&collection)
            .map(|found| {
                let (record, document) = found.unwrap();
                (record.0, String::from_utf8(document.id().into()).unwrap(), document.version, document.body.len())
            })
            .collect();
        let expected: Vec<_> =
            documents.iter().map(|(r, (id, v, p))| (*r, id.clone(), *v, body(id, *p).len())).collect();
        assert!(scanned == expected, "{name}: {:?}", scanned.iter().zip(&expected).find(|(a, b)| a != b));
        let size: u64 = expected.iter().map(|e| e.3 as u64).sum();
        assert_eq!(collection.size(), size);
        for (record, (id, version, _)) in documents {
            assert_eq!(view.find_id(&collection, id.as_bytes()).unwrap().unwrap().0, *record);
            assert_eq!(view.get(&collection, id.as_bytes()).unwrap().unwrap().version, *version);
        }
        assert!(view.get(&collection, b"no such id").unwrap().is_none());
        let (entries, _) = view.id_index_size(&collection).unwrap();
        assert_eq!(entries, documents.len() as u64);
    }
}

/// One random unit of up to four changes on the model and the store; fails on purpose now and then.
fn step(store: &Store, model: &mut Model, random: &mut Random, next: &mut BTreeMap<String, u64>) {
    let name = format!("c{}", random.below(3));
    let changes = 1 + random.below(4);
    let fails = random.below(10) == 0;
    let mut after = model.clone();
    let mut plan: Vec<Change> = Vec::new();
    let mut next_record = next.get(&name).copied().unwrap_or(1);
    for _ in 0..changes {
        let name = name.clone();
        let documents = after.collections.entry(name.clone()).or_default();
        let id = format!("id{}", random.below(400));
        let padding = random.below(400) as usize;
        let found = documents.iter().find(|(_, d)| d.0 == id).map(|(r, d)| (*r, d.1));
        match (found, random.below(3)) {
            (None, _) => {
                documents.insert(next_record, (id.clone(), 1, padding));
                next_record += 1;
                plan.push(Box::new(move |t| {
                    let c = t.collection_or_create(0, &name).unwrap();
                    t.insert(c, id.as_bytes(), body(&id, padding)).unwrap();
                    assert!(matches!(t.insert(c, id.as_bytes(), body(&id, 1)), Err(Error::DuplicateKey { .. })));
                }));
            }
            (Some((record, _)), 0) => {
                documents.remove(&record);
                plan.push(Box::new(move |t| {
                    let c = t.collection(0, &name).unwrap();
                    let record = t.find_id(c, id.as_bytes()).unwrap().unwrap();
                    let before = t.record(c, record).unwrap().unwrap();
                    t.delete(c, record, &before).unwrap();
                    assert!(t.find_id(c, id.as_bytes()).unwrap().is_none());
                }));
            }
            (Some((record, version)), _) => {
                documents.insert(record, (id.clone(), version + 1, padding));
                plan.push(Box::new(move |t| {
                    let c = t.collection(0, &name).unwrap();
                    let record = t.find_id(c, id.as_bytes()).unwrap().unwrap();
                    let before = t.record(c, record).unwrap().unwrap();
                    assert_eq!(t.replace(c, record, &before, body(&id, padding)).unwrap(), version + 1);
                }));
            }
        }
    }
    if random.below(400) == 0 {
        after.collections.remove(&name);
        let name = name.clone();
        plan.push(Box::new(move |t| assert!(t.drop_collection(0, &name).unwrap())));
        next_record = 1;
    } else if random.below(400) == 0 && !after.collections.contains_key("renamed") {
        let documents = after.collections.remove(&name).unwrap();
        after.collections.insert("renamed".into(), documents);
        let name = name.clone();
        plan.push(Box::new(move |t| t.rename_collection(0, &name, "renamed").unwrap()));
        next_record = 1;
    }
    commit(store, move |t| {
        plan.iter().for_each(|change| change(t));
        !fails
    });
    if !fails {
        *model = after;
        next.insert(name, next_record);
    }
}

#[test]
fn a_random_history_survives_restarts() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut model, mut next) = (Model::default(), BTreeMap::new());
    for round in 0..8 {
        // With room for everything in every other round, so that what checkpoints leave in memory is read again.
        let store = open_with(dir.path(), if round % 2 == 0 { 200_000 } else { 50_000_000 });
        check(&store, &model);
        let before = store.view(0);
        let model_before = model.clone();
        let mut held = VecDeque::new();
        for at in 0..1_500 {
            step(&store, &mut model, &mut random, &mut next);
            if at % 50 == 0 {
                check(&store, &model);
                held.push_back((store.view(0), model.clone()));
            }
            if held.len() > 3
                && let Some((view, model)) = held.pop_front()
            {
                check_view(&view, &model);
            }
        }
        drop(held);
        check(&store, &model);
        // A view is the moment it was made in, whatever came after.
        for (name, documents) in &model_before.collections {
            let collection = before.collection(0, name).unwrap();
            assert_eq!(before.scan(&collection).count(), documents.len());
            for (id, version, _) in documents.values() {
                assert_eq!(before.get(&collection, id.as_bytes()).unwrap().unwrap().version, *version);
            }
        }
        drop(before);
        let stats = store.stats();
        assert!(stats.checkpoints > 0, "round {round}: {stats:?}");
        assert!(stats.write_memory_bytes < 1_200_000, "{stats:?}");
        if round % 2 == 0 {
            drop(store);
            let reopened = open(dir.path());
            assert_eq!(reopened.stats().replayed_units, 0);
            check(&reopened, &model);
        } else {
            // The files as they are while the store is open are what a kill would leave.
            store.sync().unwrap();
            let copy = tempfile::tempdir().unwrap();
            common::copy_as_killed(&dir.path().join("data"), copy.path());
            let crashed = open(copy.path());
            check(&crashed, &model);
        }
    }
}

/// Scans that are on their way while others write, checkpoints come and collections go, from any record on.
#[test]
fn a_scan_sees_its_moment_throughout() {
    let seed = 20_261_124;
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    // Room for some of the documents: what scans keep is dropped, taken again, and brought up to date.
    let store = open_with(dir.path(), 150_000);
    let published = Mutex::new(Arc::new((store.view(0), Model::default())));
    let ended = AtomicBool::new(false);
    let read = &|seed: u64| {
        let mut random = Random(seed);
        let mut scans = 0;
        let mut held: VecDeque<Arc<(View, Model)>> = VecDeque::new();
        while !ended.load(Ordering::Relaxed) {
            held.push_back(Arc::clone(&published.lock().unwrap()));
            // Of moments that are gone as well.
            let moment = Arc::clone(&held[random.below(held.len() as u64) as usize]);
            if held.len() > 20 {
                held.pop_front();
            }
            let (view, model) = &*moment;
            for (name, documents) in &model.collections {
                let collection = view.collection(0, name).unwrap();
                let from = if random.below(2) == 0 { 0 } else { random.below(2_000) };
                let cached = random.below(2) as usize * 50;
                let mut expected = documents.range(from..);
                for found in view.scan_from(&collection, veddb_storage::RecordId(from)).cached(cached) {
                    let (record, document) = found.unwrap();
                    let (known, (id, version, padding)) = expected.next().unwrap();
                    assert_eq!((record.0, document.version), (*known, *version), "{name} of {}", view.lsn());
                    assert_eq!(*document.body, *body(id, *padding), "{name}: {record:?} of {}", view.lsn());
                    if random.below(500) == 0 {
                        std::thread::yield_now();
                    }
                }
                assert_eq!(expected.next(), None, "{name} of {} ends too soon", view.lsn());
                scans += 1;
            }
        }
        scans
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|reader| scope.spawn(move || read(seed + reader))).collect();
        let (mut random, mut model, mut next) = (Random(seed), Model::default(), BTreeMap::new());
        for _ in 0..3_000 {
            step(&store, &mut model, &mut random, &mut next);
            *published.lock().unwrap() = Arc::new((store.view(0), model.clone()));
        }
        ended.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 50);
        }
    });
    assert!(store.stats().checkpoints > 5, "{:?}", store.stats());
}
