//! How fast a store is exported, staged and caught up with, both sides in one process: `cargo run --release -p veddb-storage
//! --example export_rate [documents]`. Prints MB of bodies a second.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use veddb_storage::document::json::{IdSource, ParseLimits, parse_document};
use veddb_storage::seal::MasterKeySource;
use veddb_storage::{Error, FsyncPolicy, Job, Options, Staging, Store, Transaction};

struct Inserts {
    first: u64,
    done: Sender<()>,
}

impl Job for Inserts {
    fn units(&self) -> usize {
        100
    }
    fn run(&mut self, at: usize, tx: &mut Transaction<'_>) -> bool {
        let id = format!("user-{:09}", self.first + at as u64);
        let text =
            format!("{{\"_id\":{id:?},\"name\":\"Ada Lovelace\",\"age\":{at},\"text\":\"{}\"}}", "x".repeat(290));
        let limits = ParseLimits { size: 1 << 20, depth: 100 };
        let body = parse_document(text.as_bytes(), limits, IdSource::Given(&id)).unwrap().body;
        let collection = tx.collection_or_create(0, "c").unwrap();
        tx.insert(collection, id.as_bytes(), body).is_ok()
    }
    fn finished(self: Box<Self>, _: Result<(), Error>) {
        let _ = self.done.send(());
    }
}

fn fill(store: &Store, from: u64, documents: u64) {
    let (done, told) = channel();
    for first in (from..from + documents).step_by(100) {
        let mut job: Box<dyn Job> = Box::new(Inserts { first, done: done.clone() });
        while let Err(back) = store.submit(job) {
            job = back;
            told.recv().unwrap();
        }
    }
    drop(done);
    told.iter().for_each(drop);
}

fn main() {
    let documents: u64 = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let options = |name: &str| Options { fsync: FsyncPolicy::EverySecond, ..Options::new(dir.path().join(name)) };
    let open = |options| Store::open(options, &MasterKeySource::Unnamed).unwrap();
    let primary = open(options("primary"));
    fill(&primary, 0, documents);
    open(options("replica")).close();
    let replica_options = Options { replica: true, ..options("replica") };
    let mut export = primary.export().unwrap();
    let header = export.header().clone();
    let mb = header.bytes as f64 / 1e6;
    let began = Instant::now();
    let mut staging = Staging::begin(&replica_options, &MasterKeySource::Unnamed, &header).unwrap();
    let (mut reading, mut writing) = (0.0, 0.0);
    loop {
        let at = Instant::now();
        let chunk = export.chunk(staging.next_chunk()).unwrap();
        reading += at.elapsed().as_secs_f64();
        let Some(chunk) = chunk else { break };
        let at = Instant::now();
        staging.write(&chunk).unwrap();
        writing += at.elapsed().as_secs_f64();
    }
    let at = Instant::now();
    let staged = staging.finish(export.hash().unwrap()).unwrap();
    let finishing = at.elapsed().as_secs_f64();
    staged.install().unwrap();
    let replica = open(replica_options);
    let all = began.elapsed().as_secs_f64();
    println!("{documents} documents, {mb:.0} MB: {all:.2} s, {:.0} MB/s", mb / all);
    println!("export {reading:.2} s ({:.0} MB/s), staging {writing:.2} s, its end {finishing:.2} s", mb / reading);
    drop(export);
    let mut follower = primary.follow(replica.position()).unwrap();
    let more = documents / 4;
    fill(&primary, documents, more);
    let began = Instant::now();
    let (done, told) = channel();
    while let Some(units) = follower.next(1 << 20).unwrap() {
        let last = units.last_lsn();
        let done = done.clone();
        let sent = replica.apply(units, Box::new(move |outcome| done.send(outcome.unwrap()).unwrap()));
        assert!(sent.is_ok(), "one after the other");
        while told.recv().unwrap().lsn < last {}
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(primary.content_hash().unwrap(), replica.content_hash().unwrap());
    println!("stream: {more} units in {seconds:.2} s, {:.0} a second", more as f64 / seconds);
}
