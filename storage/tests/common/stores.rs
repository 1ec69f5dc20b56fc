//! Stores of one history, and the few things that are done to them.

use std::path::Path;
use std::sync::mpsc::channel;

use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{Error, Follower, FsyncPolicy, Options, Position, Store, Units};

use super::commit;

pub(crate) fn options(dir: &Path) -> Options {
    Options {
        write_memory_bytes: 300_000,
        index_memory_bytes: 100_000,
        log_segment_bytes: 20_000,
        fsync: FsyncPolicy::No,
        ..Options::new(dir.join("data"))
    }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(options(dir), &MasterKeySource::Unnamed).unwrap()
}

pub(crate) fn body(id: &str, padding: usize) -> Box<[u8]> {
    let text = format!("{{\"_id\":{id:?},\"p\":\"{}\"}}", "x".repeat(padding));
    parse_document(text.as_bytes(), ParseLimits { size: 16 << 20, depth: 128 }, IdSource::Given(id)).unwrap().body
}

pub(crate) fn insert(store: &Store, id: u64) {
    let id = format!("id{id}");
    commit(store, move |tx| {
        let collection = tx.collection_or_create(0, "c").unwrap();
        tx.insert(collection, id.as_bytes(), body(&id, 300)).is_ok()
    });
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let Ok(entry) = entry else { continue };
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let _ = std::fs::copy(entry.path(), &target);
        }
    }
}

pub(crate) fn replica_options(dir: &Path) -> Options {
    Options { replica: true, ttl_sweep_ms: 1, ..options(dir) }
}

/// Carries out units and waits until they are.
pub(crate) fn apply(replica: &Store, units: Units) -> Result<Position, Error> {
    let (done, wait) = channel();
    let sent = replica.apply(Units::from_bytes(&units.to_bytes().into()).unwrap(), {
        Box::new(move |outcome| done.send(outcome).unwrap())
    });
    assert!(sent.is_ok());
    wait.recv().unwrap()
}

pub(crate) fn catch_up(follower: &mut Follower, replica: &Store, bytes: usize) {
    while let Some(units) = follower.next(bytes).unwrap() {
        let last = units.last_lsn();
        let position = apply(replica, units).unwrap();
        assert_eq!(position.lsn, last);
        follower.acknowledge(last);
    }
}

/// Two stores of one history: the second is a copy of the first, before anything was written.
pub(crate) fn pair() -> (tempfile::TempDir, tempfile::TempDir, Store, Store) {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(one.path()).close();
    copy(one.path(), two.path());
    let primary = Store::open(Options { ttl_sweep_ms: 20, ..options(one.path()) }, &MasterKeySource::Unnamed).unwrap();
    let replica = Store::open(replica_options(two.path()), &MasterKeySource::Unnamed).unwrap();
    (one, two, primary, replica)
}
