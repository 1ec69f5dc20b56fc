//! `kill -9` while indexes are built, checkpointed, evicted and dropped: afterwards each is whole or gone.
//!
//! `VEDDB_INDEX_CRASH_ROUNDS` (6 of each; by hand 100) kills under small budgets and a concurrent load. `VEDDB_SEED`
//! repeats the choices, though not the moments.

mod indexing;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Random, Server, Value, seed, setting};

const WRITERS: usize = 4;
/// Ids of one writer.
const IDS: usize = 400;
/// Documents that are there before the first round, and stay.
const BASE: usize = 20_000;
const COLLECTION: &str = "load";

/// The indexes of these suites, each with its keys and options.
const INDEXES: [(&str, &[&str]); 5] = [
    ("by_n", &[r#"{"n":1}"#]),
    ("by_g", &[r#"{"g":1,"n":-1}"#]),
    ("by_tags", &[r#"{"tags":-1}"#]),
    ("some", &[r#"{"n":1,"g":1}"#, "PARTIAL", r#"{"g":{"$gte":4}}"#]),
    ("by_text", &[r#"{"text":1}"#]),
];

fn rounds() -> u64 {
    setting("VEDDB_INDEX_CRASH_ROUNDS", 6)
}

fn server() -> Result<Server> {
    Options::new()
        .set("log-segment-size", "1mb")
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        .start()
}

/// 128 digits in which nothing repeats, so that no index of them is small. Some documents share theirs.
fn text(number: u64) -> String {
    let mut random = Random::new(number % 15_000);
    (0..8).map(|_| format!("{:016x}", random.number())).collect()
}

/// A document is its id and a number, from which all else follows.
fn document(id: &str, number: u64) -> String {
    let (tags, fill) = ([number % 5, number % 3], "x".repeat(number as usize % 200));
    json!({"_id": id, "n": number, "g": number % 7, "tags": tags, "text": text(number), "fill": fill}).to_string()
}

fn load_base(client: &mut Client, collection: &str, count: usize) -> Result<()> {
    let documents: Vec<String> = (0..count).map(|at| document(&format!("base-{at}"), at as u64)).collect();
    indexing::load(client, collection, &documents)
}

fn create(client: &mut Client, collection: &str, at: usize, sync: bool) -> Result<()> {
    let (name, keys) = INDEXES[at];
    let mut request = vec!["IDX.CREATE", collection, name];
    request.extend_from_slice(keys);
    request.extend(sync.then_some("SYNC"));
    client.ask(&request)?;
    Ok(())
}

/// How many entries the index has of a document with this number.
fn entries(index: &str, number: u64) -> usize {
    match index {
        "by_tags" if number % 5 != number % 3 => 2,
        "some" if number % 7 < 4 => 0,
        _ => 1,
    }
}

/// One client's documents, which no other client touches.
struct Writer {
    name: usize,
    random: Random,
    counter: u64,
    there: BTreeMap<String, u64>,
    /// Sent; may or may not have happened.
    pending: Option<(String, Option<u64>)>,
    acknowledged: u64,
}

impl Writer {
    fn some(random: &mut Random) -> Vec<Writer> {
        let mut writer = |name| Writer {
            name,
            random: Random::new(random.number()),
            counter: 0,
            there: BTreeMap::new(),
            pending: None,
            acknowledged: 0,
        };
        (0..WRITERS).map(&mut writer).collect()
    }

    /// Writes until the server is gone.
    fn load(&mut self, client: &mut Client) -> Result<()> {
        loop {
            self.counter += 1;
            let number = self.counter;
            let id = format!("{}-{}", self.name, self.random.below(IDS));
            let text = document(&id, number);
            let there = self.there.contains_key(&id);
            let filter = json!({"_id": id}).to_string();
            let (request, change): (Vec<&str>, _) = match self.random.below(6) {
                0 if there => (vec!["DOC.DEL", COLLECTION, &id], None),
                1 | 2 if there => (vec!["DOC.UPDATE", COLLECTION, &filter, &text, "ONE"], Some(number)),
                3 if !there => (vec!["DOC.INSERT", COLLECTION, &text], Some(number)),
                _ => (vec!["DOC.SET", COLLECTION, &id, &text], Some(number)),
            };
            self.pending = Some((id.clone(), change));
            let Ok(reply) = client.run(&request) else { return Ok(()) };
            if let Value::Error(message) = reply {
                anyhow::bail!("{message} (sent: {})", request.join(" "));
            }
            self.take();
        }
    }

    fn take(&mut self) {
        let Some((id, change)) = self.pending.take() else { return };
        match change {
            Some(number) => self.there.insert(id, number),
            None => self.there.remove(&id),
        };
        self.acknowledged += 1;
    }

    /// Compares with what is there, and settles what was pending when the server went.
    fn settle(&mut self, found: &[(String, u64)]) {
        let prefix = format!("{}-", self.name);
        let own: BTreeMap<String, u64> = found.iter().filter(|(id, _)| id.starts_with(&prefix)).cloned().collect();
        if self.pending.as_ref().is_some_and(|(id, number)| own.get(id).copied() == *number) {
            self.take();
        }
        self.pending = None;
        for (id, number) in &self.there {
            assert_eq!(own.get(id), Some(number), "writer {}: the acknowledged write of {id} is lost", self.name);
        }
        assert_eq!(own, self.there, "writer {}: what was deleted, or never written, is there", self.name);
    }
}

/// Runs the load, and `meanwhile`, at whose end the server is killed, perhaps also while it recovers; then it is up.
fn crash<T>(
    server: &mut Server,
    writers: &mut [Writer],
    random: &mut Random,
    meanwhile: impl FnOnce(&Server, &mut Random) -> Result<T>,
) -> Result<T> {
    let outcome = thread::scope(|scope| -> Result<T> {
        let mut loads = Vec::new();
        for writer in writers {
            let mut client = server.client()?;
            loads.push(scope.spawn(move || writer.load(&mut client)));
        }
        let outcome = meanwhile(server, random);
        server.kill()?;
        loads.into_iter().try_for_each(|load| load.join().expect("a writer does not panic"))?;
        outcome
    })?;
    for _ in 0..random.below(3) {
        server.start_and_kill(Duration::from_millis(random.below(80) as u64))?;
    }
    server.restart()?;
    Ok(outcome)
}

/// Every document of a collection, in natural order, whole.
fn scan(client: &mut Client, collection: &str) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for text in client.ask(&["DOC.FIND", collection, "{}"])?.expect_array() {
        let parsed: Json = serde_json::from_str(text.expect_text())?;
        let id = parsed["_id"].as_str().context("no _id")?.to_owned();
        let number = parsed["n"].as_u64().context("no n")?;
        assert_eq!(parsed, serde_json::from_str::<Json>(&document(&id, number))?, "not what was written");
        found.push((id, number));
    }
    Ok(found)
}

/// Each index is ready, agrees with the documents, and gives the answers that a scan gives. Returns the documents.
fn check(client: &mut Client, collection: &str, random: &mut Random) -> Result<Vec<(String, u64)>> {
    indexing::wait_until_ready(client, collection)?;
    let found = scan(client, collection)?;
    assert_eq!(client.ask(&["DOC.COUNT", collection])?.expect_integer(), found.len() as i64);
    for index in indexing::list(client, collection)? {
        let name = indexing::text(&index, "name");
        let expected = found.iter().map(|(_, number)| entries(name, *number)).sum();
        indexing::verify_entries(client, collection, name, expected)?;
        for _ in 0..4 {
            let (filter, passes) = a_filter(name, random, &found);
            let request = ["DOC.FIND", collection, &filter.to_string(), "HINT", name];
            let answer = indexing::ids(&client.ask(&request)?)?;
            let expected: Vec<&String> = found.iter().filter(|(_, number)| passes(*number)).map(|(id, _)| id).collect();
            assert!(answer.iter().eq(expected.iter().copied()), "{request:?}: {answer:?}, not {expected:?}");
        }
        if name == "by_n" {
            let sorted = client.ask(&["DOC.FIND", collection, "{}", "SORT", r#"{"n":1}"#, "HINT", name])?;
            let mut expected = found.clone();
            expected.sort_by_key(|(_, number)| *number);
            assert!(indexing::ids(&sorted)?.iter().eq(expected.iter().map(|(id, _)| id)), "{collection} by n");
        }
    }
    Ok(found)
}

/// A filter for which the index has the answer, and which numbers pass it.
fn a_filter(index: &str, random: &mut Random, found: &[(String, u64)]) -> (Json, Box<dyn Fn(u64) -> bool>) {
    let some = if found.is_empty() { 1 } else { found[random.below(found.len())].1 };
    match index {
        "by_g" => (json!({"g": some % 7}), Box::new(move |n| n % 7 == some % 7)),
        "by_tags" => (json!({"tags": some % 5}), Box::new(move |n| n % 5 == some % 5 || n % 3 == some % 5)),
        "some" => {
            let filter = json!({"g": {"$gte": 4}, "n": {"$gte": some}});
            (filter, Box::new(move |n| n % 7 >= 4 && n >= some))
        }
        "by_text" => {
            let wanted = text(some);
            (json!({"text": wanted}), Box::new(move |n| text(n) == wanted))
        }
        _ => (json!({"n": {"$gte": some, "$lt": some + 50}}), Box::new(move |n| (some..some + 50).contains(&n))),
    }
}

fn settle(writers: &mut [Writer], found: &[(String, u64)], base: usize) {
    let kept = found.iter().filter(|(id, _)| id.starts_with("base-")).count();
    assert_eq!(kept, base, "documents that nobody wrote to are not all there");
    writers.iter_mut().for_each(|writer| writer.settle(found));
}

fn said(round: u64, seed: u64) -> impl FnOnce() -> String {
    move || format!("round {round} of seed {seed}")
}

#[test]
fn a_build_that_was_killed_goes_on() -> Result<()> {
    let (seed, rounds) = (seed(), rounds());
    let mut random = Random::new(seed);
    let mut server = server()?;
    load_base(&mut server.client()?, COLLECTION, BASE)?;
    let mut writers = Writer::some(&mut random);
    // How long a build is let run; shortened when it was over before the kill.
    let mut window = 80;
    let mut in_the_middle = 0;
    for round in 0..rounds {
        let at = random.below(INDEXES.len());
        let name = INDEXES[at].0;
        let state = crash(&mut server, &mut writers, &mut random, |server, random| {
            let mut client = server.client()?;
            thread::sleep(Duration::from_millis(random.below(30) as u64));
            create(&mut client, COLLECTION, at, false)?;
            thread::sleep(Duration::from_millis(random.below(window) as u64));
            let index = indexing::listed(&mut client, COLLECTION, name)?.context("a new index is not listed")?;
            Ok(indexing::text(&index, "state").to_owned())
        })
        .with_context(said(round, seed))?;
        if state == "building" {
            in_the_middle += 1;
        } else {
            window = (window / 2).max(1);
        }
        let mut client = server.client()?;
        let listed = indexing::listed(&mut client, COLLECTION, name)?;
        assert!(listed.is_some(), "the acknowledged {name} is gone after round {round} of seed {seed}");
        let found = check(&mut client, COLLECTION, &mut random).with_context(said(round, seed))?;
        settle(&mut writers, &found, BASE);
        assert_eq!(client.ask(&["IDX.DROP", COLLECTION, name])?.expect_integer(), 1);
    }
    println!("{rounds} kills, {in_the_middle} in the middle of a build");
    assert!(in_the_middle > 0 || rounds < 6, "no kill hit a build");
    Ok(())
}

#[test]
fn a_checkpoint_that_was_killed_leaves_indexes_whole() -> Result<()> {
    let (seed, rounds) = (seed(), rounds());
    let mut random = Random::new(seed);
    let mut server = server()?;
    let mut client = server.client()?;
    client.ask(&["DOC.CREATE", COLLECTION])?;
    for at in 0..INDEXES.len() {
        create(&mut client, COLLECTION, at, true)?;
    }
    let mut writers = Writer::some(&mut random);
    for round in 0..rounds {
        crash(&mut server, &mut writers, &mut random, |_, random| {
            // Segments and budgets of 1 MiB are filled several times a second.
            thread::sleep(Duration::from_millis(50 + random.below(900) as u64));
            Ok(())
        })
        .with_context(said(round, seed))?;
        let mut client = server.client()?;
        assert_eq!(indexing::list(&mut client, COLLECTION)?.len(), INDEXES.len());
        let found = check(&mut client, COLLECTION, &mut random).with_context(said(round, seed))?;
        settle(&mut writers, &found, 0);
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    println!("{rounds} kills, {acknowledged} acknowledged writes");
    assert!(acknowledged > rounds * 10, "there was hardly any load");
    Ok(())
}

#[test]
fn eviction_that_was_killed_leaves_indexes_whole() -> Result<()> {
    let (seed, rounds) = (seed(), rounds());
    let mut random = Random::new(seed);
    let mut server = server()?;
    let mut client = server.client()?;
    // The texts alone are more than twice the budget.
    load_base(&mut client, COLLECTION, BASE)?;
    for at in [0, 4] {
        create(&mut client, COLLECTION, at, true)?;
    }
    let mut writers = Writer::some(&mut random);
    let mut read = 0;
    for round in 0..rounds {
        read += crash(&mut server, &mut writers, &mut random, |server, random| {
            let mut client = server.client()?;
            let queries = 20 + random.below(400);
            for _ in 0..queries {
                let number = random.below(BASE) as u64;
                let filter = json!({"text": text(number)}).to_string();
                let found = indexing::ids(&client.ask(&["DOC.FIND", COLLECTION, &filter, "HINT", "by_text"])?)?;
                assert!(found.contains(&format!("base-{number}")), "{filter}: {found:?}");
            }
            Ok(queries)
        })
        .with_context(said(round, seed))?;
        let found = check(&mut server.client()?, COLLECTION, &mut random).with_context(said(round, seed))?;
        settle(&mut writers, &found, BASE);
    }
    println!("{rounds} kills, {read} reads");
    Ok(())
}

#[test]
fn a_drop_that_was_killed_happened_or_did_not() -> Result<()> {
    const DOOMED: &str = "doomed";
    const DOCUMENTS: usize = 3000;
    let (seed, rounds) = (seed(), rounds());
    let mut random = Random::new(seed);
    let mut server = server()?;
    load_base(&mut server.client()?, COLLECTION, DOCUMENTS)?;
    let mut writers = Writer::some(&mut random);
    let mut gone = 0;
    for round in 0..rounds {
        let mut client = server.client()?;
        for at in [0, 1, 2] {
            if indexing::listed(&mut client, COLLECTION, INDEXES[at].0)?.is_none() {
                create(&mut client, COLLECTION, at, true)?;
            }
        }
        if client.ask(&["DOC.COUNT", DOOMED])?.expect_integer() == 0 {
            load_base(&mut client, DOOMED, DOCUMENTS)?;
            create(&mut client, DOOMED, 0, true)?;
            // Dropping a build is dropping as well.
            create(&mut client, DOOMED, 4, random.one_in(2))?;
        }
        let acknowledged = crash(&mut server, &mut writers, &mut random, |server, random| {
            let mut client = server.client()?;
            thread::sleep(Duration::from_millis(random.below(40) as u64));
            let drops = [vec!["IDX.DROP", COLLECTION, "by_g"], vec!["DOC.DROP", DOOMED]];
            let bytes: Vec<u8> = drops.iter().flat_map(|drop| veddb_tests::client::request(drop)).collect();
            client.send(&bytes)?;
            let wait = Duration::from_millis(1 + random.below(12) as u64);
            client.set_timeout(wait)?;
            // A reply that has not come in this time may come or not.
            let mut acknowledged = 0;
            while acknowledged < drops.len() && client.read().is_ok_and(|reply| reply == Value::Integer(1)) {
                acknowledged += 1;
            }
            Ok(acknowledged)
        })
        .with_context(said(round, seed))?;
        let mut client = server.client()?;
        let found = check(&mut client, COLLECTION, &mut random).with_context(said(round, seed))?;
        settle(&mut writers, &found, DOCUMENTS);
        let index_gone = indexing::listed(&mut client, COLLECTION, "by_g")?.is_none();
        assert!(index_gone || acknowledged < 1, "round {round} of seed {seed}: a dropped index is back");
        for kept in [0, 2] {
            assert!(indexing::listed(&mut client, COLLECTION, INDEXES[kept].0)?.is_some(), "a wrong index is gone");
        }
        let collections = client.ask(&["DOC.COLLECTIONS"])?;
        let collection_gone = !collections.expect_array().iter().any(|name| name.text() == Some(DOOMED));
        assert!(collection_gone || acknowledged < 2, "round {round} of seed {seed}: a dropped collection is back");
        gone += usize::from(index_gone) + usize::from(collection_gone);
        if collection_gone {
            // What comes after under the same names starts from nothing.
            client.ask(&["DOC.INSERT", DOOMED, &document("only", 3)])?;
            assert_eq!(indexing::list(&mut client, DOOMED)?.len(), 0);
            create(&mut client, DOOMED, 0, true)?;
            assert_eq!(check(&mut client, DOOMED, &mut random)?, [("only".to_owned(), 3)]);
            assert_eq!(client.ask(&["DOC.DROP", DOOMED])?.expect_integer(), 1);
        } else {
            let there = check(&mut client, DOOMED, &mut random).with_context(said(round, seed))?;
            assert_eq!(there.len(), DOCUMENTS, "round {round} of seed {seed}: half of a collection was dropped");
        }
    }
    println!("{rounds} kills, {gone} of {} drops had happened", rounds * 2);
    Ok(())
}
