//! Replication between stores of one process: reading the log, carrying it out, snapshots, promotions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::commit;
use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{FollowError, FsyncPolicy, Options, Position, Store};

fn options(dir: &Path) -> Options {
    Options {
        write_memory_bytes: 300_000,
        index_memory_bytes: 100_000,
        log_segment_bytes: 20_000,
        fsync: FsyncPolicy::No,
        ..Options::new(dir.join("data"))
    }
}

fn open(dir: &Path) -> Store {
    Store::open(options(dir), &MasterKeySource::Unnamed).unwrap()
}

fn body(id: &str, padding: usize) -> Box<[u8]> {
    let text = format!("{{\"_id\":{id:?},\"p\":\"{}\"}}", "x".repeat(padding));
    parse_document(text.as_bytes(), ParseLimits { size: 16 << 20, depth: 128 }, IdSource::Given(id)).unwrap().body
}

fn insert(store: &Store, id: u64) {
    let id = format!("id{id}");
    commit(store, move |tx| {
        let collection = tx.collection_or_create(0, "c").unwrap();
        tx.insert(collection, id.as_bytes(), body(&id, 300)).is_ok()
    });
}

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
