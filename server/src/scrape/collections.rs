//! Figures of collections and their indexes one by one, as many as `metrics-max-collections` says, and of keys.
//!
//! Reads what is held in memory, and of each index the root of its tree: no index is measured for it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use veddb_storage::{CollectionHandle, Index, View};

use super::{Data, Family, Kind, Samples, Sight, gauge, many};

/// Indexes that are shown, of all collections that are.
const INDEXES_MAX: usize = 1000;

const COLLECTION: &[&str] = &["database", "collection"];
const INDEX: &[&str] = &["database", "collection", "index"];

pub(super) const FAMILIES: &[Family] = &[
    many(
        Kind::Gauge,
        "veddb_collection_documents",
        "Documents, with those that have expired and are still to be deleted",
        COLLECTION,
        |s, out| {
            each(s, out, |collection| collection.count());
        },
    ),
    many(Kind::Gauge, "veddb_collection_bytes", "Bytes of their stored form", COLLECTION, |s, out| {
        each(s, out, |collection| collection.size());
    }),
    many(
        Kind::Gauge,
        "veddb_collection_stored_bytes",
        "The same with what sealing adds; older versions that the engine still has are not in it",
        COLLECTION,
        |s, out| {
            each(s, out, |collection| collection.stored_size());
        },
    ),
    gauge("veddb_collections_left_off", "Collections that are not shown one by one (metrics-max-collections)", |s| {
        s.data.as_ref().map(|data| data.left_off as f64)
    }),
    many(Kind::Gauge, "veddb_index_entries", "Entries of an index beside the one on _id", INDEX, |s, out| {
        each_index(s, out, |data, index| Some(data.view.trees().entries(index).ok()? as f64));
    }),
    many(Kind::Counter, "veddb_index_hits_total", "Queries that used it", INDEX, |s, out| {
        each_index(s, out, |_, index| Some(index.usage().0 as f64));
    }),
    many(
        Kind::Gauge,
        "veddb_index_ready",
        "1 where queries may use it, 0 while it is built and where that failed",
        INDEX,
        |s, out| {
            each_index(s, out, |_, index| Some(f64::from(u8::from(index.is_ready()))));
        },
    ),
    many(Kind::Gauge, "veddb_index_build_ratio", "How much of its build is done, 0 to 1", INDEX, |s, out| {
        each_index(s, out, |_, index| Some(index.progress()));
    }),
];

/// Who was shown the last time gives way only to one with more than so many hundredths of its documents: a series that comes and goes is none.
const STAYS: u64 = 125;

/// The collections with the most documents, and how many others there are; `before` are those of the last time.
pub(super) fn shown(
    view: &View,
    databases: u8,
    most: usize,
    before: &BTreeSet<(u8, String)>,
) -> (Vec<(u8, CollectionHandle)>, usize) {
    let of = |db: u8| view.collections(db).into_iter().map(move |collection| (db, collection));
    let mut all: Vec<(u8, CollectionHandle)> = (0..databases).flat_map(of).collect();
    let left_off = all.len().saturating_sub(most);
    // Sorted by database and name before, and the order of equals is kept: of two scrapes the same ones are shown.
    let weight = |(db, collection): &(u8, CollectionHandle)| {
        let stays = before.contains(&(*db, collection.name().to_owned()));
        collection.count().saturating_mul(if stays { STAYS } else { 100 })
    };
    all.sort_by_cached_key(|one| Reverse(weight(one)));
    all.truncate(most);
    (all, left_off)
}

fn each(s: &Sight<'_>, out: &mut Samples<'_>, figure: fn(&CollectionHandle) -> u64) {
    let Some(data) = &s.data else { return };
    for (db, collection) in &data.shown {
        out.put(&[&db.to_string(), collection.name()], figure(collection) as f64);
    }
}

fn each_index(s: &Sight<'_>, out: &mut Samples<'_>, figure: fn(&Data, &Index) -> Option<f64>) {
    let Some(data) = &s.data else { return };
    let mut room = INDEXES_MAX;
    for (db, collection) in &data.shown {
        for index in collection.indexes().iter().take(room) {
            room -= 1;
            // A page that cannot be read is said by who needs it.
            if let Some(value) = figure(data, index) {
                out.put(&[&db.to_string(), collection.name(), index.spec().name()], value);
            }
        }
    }
}

/// A figure of the keys of each database that has any, from how many there are and how many of these expire.
pub(super) fn keys(s: &Sight<'_>, out: &mut Samples<'_>, figure: fn(u64, u64) -> u64) {
    let Some(data) = &s.data else { return };
    for db in 0..s.settings.databases {
        let Some(keys) = data.view.keys(db) else { continue };
        let Ok(count) = data.view.count(&keys) else { continue };
        if count > 0 {
            out.put(&[&db.to_string()], figure(count, keys.expiring()) as f64);
        }
    }
}
