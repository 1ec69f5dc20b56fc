//! Random units of every kind, seeded: documents with and without expiries, collections made, renamed, dropped, indexes of
//! every sort, units that fail half-way.

use std::time::{SystemTime, UNIX_EPOCH};

use super::commit;
use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::{CollectionId, IndexDefinition, IndexSpec, Store, Transaction};

/// A linear congruential generator: seeded, good enough to choose steps.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The seed of this run, printed; `VEDDB_SEED` repeats one.
#[allow(clippy::print_stdout, reason = "whoever repeats a run needs it")]
pub(crate) fn seed() -> u64 {
    let given = std::env::var("VEDDB_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64);
    println!("VEDDB_SEED={seed}");
    seed
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn body(random: &mut Random, id: &str) -> Box<[u8]> {
    let a = random.below(60);
    let b: Vec<u64> = (0..random.below(4)).map(|_| random.below(9)).collect();
    let date = now_ms() as i64 - 500 + random.below(100_000) as i64;
    let text = format!(
        "{{\"_id\":{id:?},\"a\":{a},\"b\":{b:?},\"n\":{{\"x\":{}}},\"d\":{{\"$date\":{date}}},\"p\":\"{}\"}}",
        random.below(1_000_000),
        "x".repeat(random.below(300) as usize)
    );
    let limits = ParseLimits { size: 16 << 20, depth: 128 };
    parse_document(text.as_bytes(), limits, IdSource::Given(id)).unwrap().body
}

fn index(random: &mut Random) -> IndexSpec {
    let (keys, unique, sparse, partial, after) = match random.below(7) {
        0 => (r#"{"a":1}"#, true, false, None, None),
        1 => (r#"{"b":1}"#, false, false, None, None),
        2 => (r#"{"a":1,"b":-1}"#, false, false, None, None),
        3 => (r#"{"n.x":-1}"#, true, false, None, None),
        4 => (r#"{"z":1}"#, false, true, None, None),
        5 => (r#"{"d":1}"#, false, false, None, Some(random.below(40))),
        _ => (r#"{"p":1}"#, false, false, Some(r#"{"a":{"$gt":30}}"#), None),
    };
    IndexSpec::new(IndexDefinition {
        name: format!("i{}", random.below(5)),
        keys: keys.into(),
        unique,
        sparse,
        partial: partial.map(str::to_owned),
        expire_after_s: after,
    })
    .unwrap()
}

fn some_collection(tx: &mut Transaction<'_>, random: &mut Random) -> Option<CollectionId> {
    let name = format!("c{}", random.below(4));
    tx.collection_or_create((random.below(2)) as u8, &name).ok()
}

/// One change; false: it was refused, which undoes the unit.
fn change(tx: &mut Transaction<'_>, random: &mut Random) -> bool {
    let Some(collection) = some_collection(tx, random) else { return false };
    let id = format!("id{}", random.below(300));
    let found = tx.find_id(collection, id.as_bytes()).unwrap();
    let before = found.and_then(|record| Some((record, tx.record(collection, record).unwrap()?)));
    let expires = match random.below(6) {
        0 => now_ms() + 1 + random.below(3000),
        1 => now_ms() - 1,
        _ => 0,
    };
    let done = match (before, random.below(40)) {
        (_, 0) => {
            let spec = index(random);
            tx.create_index(collection, spec).map(|_| ())
        }
        (_, 1) => tx.drop_index(collection, &format!("i{}", random.below(5))).map(|_| ()),
        (_, 2) => tx.rename_collection(0, &format!("c{}", random.below(4)), &format!("c{}", random.below(4))),
        (_, 3) if random.below(6) == 0 => tx.drop_collection(0, &format!("c{}", random.below(4))).map(|_| ()),
        (_, 4) => tx.create_own_collection(0, &format!("_t{}", random.below(1000)), "{}").map(|_| ()),
        (None, _) => {
            let body = body(random, &id);
            tx.insert_expiring(collection, id.as_bytes(), body, expires).map(|_| ())
        }
        (Some((record, before)), 5..=12) => tx.delete(collection, record, &before),
        (Some((record, before)), 13..=15) => tx.set_expiry(collection, record, &before, expires),
        (Some((record, before)), _) => {
            let body = body(random, &id);
            tx.replace_expiring(collection, record, &before, body, expires).map(|_| ())
        }
    };
    done.is_ok()
}

/// One unit of up to five changes; one in ten is taken back.
pub(crate) fn unit(store: &Store, random: &mut Random) {
    let mut own = Random(random.below(1 << 31));
    commit(store, move |tx| {
        let changes = 1 + own.below(5);
        let done = (0..changes).all(|_| change(tx, &mut own));
        done && own.below(10) > 0
    });
}

/// Every ready index has exactly the entries of the documents; answers how many were looked at.
pub(crate) fn verify(store: &Store) -> u64 {
    let view = store.view(0);
    let mut indexes = 0;
    for db in 0..2 {
        for collection in view.collections(db) {
            let found = view.verify::<veddb_storage::Error>(&collection, None, "_id_", || Ok(())).unwrap();
            assert_eq!((found.missing, found.dangling), (0, 0), "{}: {found:?}", collection.name());
            indexes += found.indexes;
        }
    }
    indexes
}
