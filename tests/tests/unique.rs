//! Unique indexes: many clients that want the same keys, kills in between, and never two documents with one key.
//!
//! `VEDDB_UNIQUE_ROUNDS` (6; by hand 50) are rounds of load, every second one ended by `kill -9`; `VEDDB_UNIQUE_RACES`
//! (150; by hand 2000) are keys that all clients want at the same moment. `VEDDB_SEED` repeats the choices.

mod indexing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Random, Server, Value, seed, setting};

const CLIENTS: usize = 64;
const COLLECTION: &str = "people";
const INDEX: &str = "by_k";
/// Fewer keys than the clients' documents could hold, so that most writes meet one that is taken.
const KEYS: usize = 300;
const IDS: usize = 12;

fn create(client: &mut Client, collection: &str, name: &str) -> Result<()> {
    client.ask(&["IDX.CREATE", collection, name, r#"{"k":1}"#, "UNIQUE", "SYNC"])?;
    Ok(())
}

fn server() -> Result<Server> {
    Options::new()
        .set("log-segment-size", "1mb")
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        .start()
}

/// What a document has: its key, and the number of the change that gave it.
type Held = (usize, u64);

/// A change of one document; none deletes it.
type Change = (String, Option<Held>);

/// One client's documents, which no other client touches.
struct Part {
    name: usize,
    random: Random,
    counter: u64,
    there: BTreeMap<String, Held>,
    /// Sent; may or may not have happened, each for itself.
    pending: Vec<Change>,
    acknowledged: u64,
    refused: u64,
}

impl Part {
    fn held(&mut self) -> Held {
        self.counter += 1;
        (self.random.below(KEYS), self.counter)
    }

    fn an_id(&mut self) -> String {
        format!("{}-{}", self.name, self.random.below(IDS))
    }

    /// A request, and the changes that it makes if nothing is refused.
    fn next(&mut self) -> Option<(Vec<String>, Vec<Change>)> {
        let (id, held) = (self.an_id(), self.held());
        let (key, number) = held;
        let set = json!({"$set": {"k": key, "n": number}}).to_string();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let there = self.there.get(&id).copied();
        let whole = json!({"_id": id, "k": key, "n": number}).to_string();
        let own = json!({"_id": id}).to_string();
        let request = match (self.random.below(8), there) {
            (0 | 1, None) => words(&["DOC.INSERT", COLLECTION, &whole]),
            (0 | 1, Some((old, _))) => {
                // By its key, which only this document can have.
                words(&["DOC.UPDATE", COLLECTION, &json!({"k": old}).to_string(), &set])
            }
            (2, _) => words(&["DOC.SET", COLLECTION, &id, &whole]),
            (3, Some(_)) => words(&["DOC.UPDATE", COLLECTION, &own, &set, "ONE"]),
            (4, _) => words(&["DOC.UPDATE", COLLECTION, &own, &set, "UPSERT"]),
            (5, _) => {
                let second = self.an_id();
                if second == id {
                    return None;
                }
                let changes = [(id, held), (second, self.held())];
                let operation = |(id, held): &(String, Held)| {
                    let replacement = json!({"k": held.0, "n": held.1});
                    json!({"replaceOne": {"filter": {"_id": id}, "replacement": replacement, "upsert": true}})
                };
                let operations = Json::Array(changes.iter().map(operation).collect()).to_string();
                let request = words(&["DOC.BULK", COLLECTION, &operations, "UNORDERED"]);
                return Some((request, changes.into_iter().map(|(id, held)| (id, Some(held))).collect()));
            }
            (6, Some(_)) => return Some((words(&["DOC.DEL", COLLECTION, &id]), vec![(id, None)])),
            _ => return None,
        };
        Some((request, vec![(id, Some(held))]))
    }

    fn take(&mut self, (id, held): Change) {
        match held {
            Some(held) => self.there.insert(id, held),
            None => self.there.remove(&id),
        };
        self.acknowledged += 1;
    }

    /// Writes until told to stop, or until the server is gone.
    fn load(&mut self, client: &mut Client, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            let Some((request, changes)) = self.next() else { continue };
            self.pending = changes;
            let Ok(reply) = client.run(&request) else { return };
            let changes = std::mem::take(&mut self.pending);
            let mut refused = BTreeSet::new();
            if let Value::Error(_) = reply {
                assert!(reply.is_error("DUPKEY"), "{request:?}: {reply}");
                refused.insert(0);
            } else if let Some(errors) = reply.get("errors") {
                for error in errors.expect_array() {
                    let [position, what] = error.expect_array() else { panic!("{request:?}: {reply}") };
                    assert!(what.expect_text().starts_with("DUPKEY "), "{request:?}: {reply}");
                    refused.insert(position.expect_integer() as usize);
                }
            } else if request[0] == "DOC.UPDATE" {
                let changed = reply.get("matched") == Some(&Value::Integer(1));
                let added = matches!(reply.get("upserted"), Some(Value::Bulk(_)));
                assert!(changed || added, "{request:?}: {reply}");
            }
            self.refused += refused.len() as u64;
            for (at, change) in changes.into_iter().enumerate() {
                if !refused.contains(&at) {
                    self.take(change);
                }
            }
        }
    }

    /// Compares with what is there, and settles what was pending when the server went.
    fn settle(&mut self, found: &BTreeMap<String, Held>) {
        for change in std::mem::take(&mut self.pending) {
            if found.get(&change.0).copied() == change.1 {
                self.take(change);
            }
        }
        let prefix = format!("{}-", self.name);
        let own = found.iter().filter(|(id, _)| id.starts_with(&prefix));
        let own: BTreeMap<String, Held> = own.map(|(id, held)| (id.clone(), *held)).collect();
        assert_eq!(own, self.there, "client {}: not what was acknowledged", self.name);
    }
}

/// Every document, each with a key of its own, and the index with exactly these.
fn read_back(client: &mut Client) -> Result<BTreeMap<String, Held>> {
    let mut found = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for document in indexing::documents(&client.ask(&["DOC.FIND", COLLECTION, "{}"])?)? {
        let id = document["_id"].as_str().context("no _id")?.to_owned();
        let key = document["k"].as_u64().context("no k")? as usize;
        if let Some(other) = keys.insert(key, id.clone()) {
            panic!("{id} and {other} both have the key {key}");
        }
        found.insert(id, (key, document["n"].as_u64().context("no n")?));
    }
    indexing::verify_entries(client, COLLECTION, INDEX, found.len())?;
    // A key that is taken is found by the index and refused; one that is not is free.
    for key in 0..KEYS {
        let filter = json!({"k": key}).to_string();
        let by_index = indexing::ids(&client.ask(&["DOC.FIND", COLLECTION, &filter, "HINT", INDEX])?)?;
        assert_eq!(by_index.first(), keys.get(&key), "the key {key}");
        let trial = json!({"_id": "trial", "k": key}).to_string();
        let reply = client.run(&["DOC.INSERT", COLLECTION, &trial])?;
        assert_eq!(reply.is_error("DUPKEY"), keys.contains_key(&key), "an insert of {key}: {reply}");
        client.ask(&["DOC.DEL", COLLECTION, "trial"])?;
    }
    Ok(found)
}

#[test]
fn no_key_is_ever_taken_twice() -> Result<()> {
    let seed = seed();
    let rounds = setting("VEDDB_UNIQUE_ROUNDS", 6);
    let mut random = Random::new(seed);
    let mut server = server()?;
    let mut client = server.client()?;
    client.ask(&["DOC.CREATE", COLLECTION])?;
    create(&mut client, COLLECTION, INDEX)?;
    let part = |name| Part {
        name,
        random: Random::new(seed ^ (name as u64 + 1)),
        counter: 0,
        there: BTreeMap::new(),
        pending: Vec::new(),
        acknowledged: 0,
        refused: 0,
    };
    let mut parts: Vec<Part> = (0..CLIENTS).map(part).collect();
    for round in 0..rounds {
        let wait = Duration::from_millis(200 + random.below(600) as u64);
        let kill = round % 2 == 1;
        let over = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            let mut loads = Vec::new();
            for part in &mut parts {
                let mut client = server.client()?;
                let over = &over;
                loads.push(scope.spawn(move || part.load(&mut client, over)));
            }
            thread::sleep(wait);
            let killed = if kill { server.kill() } else { Ok(()) };
            over.store(true, Ordering::Relaxed);
            loads.into_iter().for_each(|load| load.join().expect("a client's replies are as they should be"));
            killed
        })
        .with_context(|| format!("round {round} of seed {seed}"))?;
        if kill {
            server.restart()?;
        }
        let mut client = server.client()?;
        indexing::wait_until_ready(&mut client, COLLECTION)?;
        let found = read_back(&mut client).with_context(|| format!("after round {round} of seed {seed}"))?;
        parts.iter_mut().for_each(|part| part.settle(&found));
    }
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).sum::<u64>();
    let (acknowledged, refused) = (sum(|part| part.acknowledged), sum(|part| part.refused));
    println!("{rounds} rounds, {acknowledged} changes, {refused} refused");
    assert!(acknowledged > rounds && refused > rounds, "the clients hardly met");
    Ok(())
}

/// What a client of a race sends for the key, and whether the reply says that it got it.
fn race(client: &mut Client, name: usize, key: usize) -> Result<bool> {
    let id = format!("{key}-{name}");
    let document = json!({"_id": id, "k": key}).to_string();
    let set = json!({"$set": {"k": key}}).to_string();
    let reply = match name % 5 {
        0 | 1 => client.run(&["DOC.INSERT", "race", &document])?,
        2 => client.run(&["DOC.SET", "race", &id, &document])?,
        3 => client.run(&[
            "DOC.BULK",
            "race",
            &json!([{"insertOne": {"document": {"_id": id, "k": key}}}]).to_string(),
        ])?,
        // Its own document, which is there already and has had other keys.
        _ => client.run(&["DOC.UPDATE", "race", &json!({"_id": format!("own-{name}")}).to_string(), &set])?,
    };
    if let Value::Error(message) = &reply {
        anyhow::ensure!(reply.is_error("DUPKEY"), "{message}");
        return Ok(false);
    }
    if let Some(count) = reply.get("inserted") {
        anyhow::ensure!(count.expect_integer() == 1 || reply.to_string().contains("DUPKEY "), "{reply}");
        return Ok(count.expect_integer() == 1);
    }
    if let Some(count) = reply.get("modified") {
        anyhow::ensure!(count.expect_integer() == 1, "nothing refused it, nothing changed: {reply}");
    }
    Ok(true)
}

#[test]
fn of_all_that_want_a_key_one_gets_it() -> Result<()> {
    let races = setting("VEDDB_UNIQUE_RACES", 150) as usize;
    let server = server()?;
    let mut client = server.client()?;
    client.ask(&["DOC.CREATE", "race"])?;
    create(&mut client, "race", INDEX)?;
    for name in 0..CLIENTS {
        let own = json!({"_id": format!("own-{name}"), "k": format!("own-{name}")}).to_string();
        client.ask(&["DOC.INSERT", "race", &own])?;
    }
    let barrier = Barrier::new(CLIENTS);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect::<Result<_>>()?;
    let outcomes: Vec<Vec<Result<bool>>> = thread::scope(|scope| {
        let barrier = &barrier;
        let run = |(name, mut client): (usize, Client)| {
            scope.spawn(move || {
                // A client that fails goes on: the others would wait for it.
                let mut outcomes = Vec::new();
                for key in 0..races {
                    barrier.wait();
                    outcomes.push(race(&mut client, name, key));
                }
                outcomes
            })
        };
        let threads: Vec<_> = clients.into_iter().enumerate().map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect()
    });
    let mut winners = vec![Vec::new(); races];
    for (name, outcomes) in outcomes.into_iter().enumerate() {
        for (key, outcome) in outcomes.into_iter().enumerate() {
            if outcome.with_context(|| format!("client {name}, key {key}"))? {
                winners[key].push(name);
            }
        }
    }
    for (key, winners) in winners.iter().enumerate() {
        assert_eq!(winners.len(), 1, "the key {key} went to the clients {winners:?}");
    }
    // Documents that were changed from one key to the next have left the first free.
    let updaters = (0..CLIENTS).filter(|name| name % 5 == 4).count();
    let inserted = winners.iter().filter(|winners| winners[0] % 5 != 4).count();
    let documents = client.ask(&["DOC.COUNT", "race"])?.expect_integer() as usize;
    assert_eq!(documents, CLIENTS + inserted, "{updaters} of the clients only change");
    indexing::verify_entries(&mut client, "race", INDEX, documents)
}

#[test]
fn upserts_of_one_key_make_one_document() -> Result<()> {
    const KEYS: usize = 40;
    let server = server()?;
    let mut client = server.client()?;
    client.ask(&["DOC.CREATE", "upsert"])?;
    create(&mut client, "upsert", INDEX)?;
    let clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect::<Result<_>>()?;
    let (mut counted, mut upserted) = (vec![0; KEYS], vec![0; KEYS]);
    thread::scope(|scope| -> Result<()> {
        let run = |mut client: Client| {
            scope.spawn(move || -> Result<Vec<Option<bool>>> {
                let upsert = |key: usize| -> Result<Option<bool>> {
                    let filter = json!({"k": key}).to_string();
                    let reply = client.run(&["DOC.UPDATE", "upsert", &filter, r#"{"$inc":{"n":1}}"#, "UPSERT"])?;
                    if reply.is_error("DUPKEY") {
                        return Ok(None);
                    }
                    let upserted = reply.get("upserted").with_context(|| format!("{key}: {reply}"))?;
                    Ok(Some(matches!(upserted, Value::Bulk(_))))
                };
                (0..KEYS).map(upsert).collect()
            })
        };
        let threads: Vec<_> = clients.into_iter().map(run).collect();
        for thread in threads {
            let outcomes = thread.join().expect("a client does not panic")?;
            for (key, outcome) in outcomes.into_iter().enumerate() {
                counted[key] += u64::from(outcome.is_some());
                upserted[key] += u64::from(outcome == Some(true));
            }
        }
        Ok(())
    })?;
    let documents = indexing::documents(&client.ask(&["DOC.FIND", "upsert", "{}", "SORT", r#"{"k":1}"#])?)?;
    let keys: Vec<u64> = documents.iter().filter_map(|document| document["k"].as_u64()).collect();
    assert!(keys.iter().copied().eq(0..KEYS as u64), "{keys:?}");
    for (key, document) in documents.iter().enumerate() {
        assert_eq!(upserted[key], 1, "so many clients added the document of {key}");
        assert_eq!(document["n"].as_u64(), Some(counted[key]), "{document}: an update was lost or refused for nothing");
    }
    indexing::verify_entries(&mut client, "upsert", INDEX, KEYS)
}

#[test]
fn a_unique_build_over_duplicates_fails_and_says_which() -> Result<()> {
    let mut server = server()?;
    let mut client = server.client()?;
    let mut documents: Vec<String> = (0..3000).map(|n| json!({"_id": format!("d{n}"), "k": n}).to_string()).collect();
    documents.insert(700, json!({"_id": "left", "k": "twice"}).to_string());
    documents.insert(2500, json!({"_id": "right", "k": "twice"}).to_string());
    indexing::load(&mut client, "c", &documents)?;
    let reply = client.run(&["IDX.CREATE", "c", "waited", r#"{"k":1}"#, "UNIQUE", "SYNC"])?;
    assert!(reply.is_error("DUPKEY"), "{reply}");
    let message = reply.to_string();
    assert!(["left", "right", "waited"].iter().all(|word| message.contains(word)), "{message}");
    client.ask(&["IDX.CREATE", "c", "unwaited", r#"{"k":-1}"#, "UNIQUE"])?;
    let is_failed = |client: &mut Client, name: &str| -> Result<bool> {
        let index = indexing::listed(client, "c", name)?.with_context(|| format!("{name} is not listed"))?;
        if indexing::text(&index, "state") == "building" {
            return Ok(false);
        }
        assert_eq!(indexing::text(&index, "state"), "failed", "{index}");
        let error = indexing::text(&index, "error");
        assert!(error.contains("left") && error.contains("right"), "{index}");
        Ok(true)
    };
    for start in 0..2 {
        if start == 1 {
            server.stop()?;
            server.restart()?;
            client = server.client()?;
        }
        for name in ["waited", "unwaited"] {
            indexing::wait_for("the build fails", indexing::BUILD_MAX, || is_failed(&mut client, name))?;
            let reply = client.run(&["DOC.FIND", "c", r#"{"k":"twice"}"#, "HINT", name])?;
            assert!(reply.is_error("NOINDEX"), "{reply}");
        }
        let found = client.ask(&["DOC.FIND", "c", r#"{"k":"twice"}"#])?;
        assert_eq!(indexing::ids(&found)?, ["left", "right"]);
        assert_eq!(client.ask(&["DOC.COUNT", "c"])?.expect_integer(), documents.len() as i64);
        // What failed does not stand in the way of writes.
        let more = json!({"_id": format!("more-{start}"), "k": 5}).to_string();
        client.ask(&["DOC.INSERT", "c", &more])?;
        client.ask(&["DOC.DEL", "c", &format!("more-{start}")])?;
    }
    client.ask(&["DOC.DEL", "c", "right"])?;
    for name in ["waited", "unwaited"] {
        assert_eq!(client.ask(&["IDX.DROP", "c", name])?.expect_integer(), 1);
    }
    create(&mut client, "c", "waited")?;
    indexing::verify_entries(&mut client, "c", "waited", documents.len() - 1)
}

#[test]
fn what_collides_and_what_does_not() -> Result<()> {
    let server = server()?;
    let mut client = server.client()?;
    let create = |client: &mut Client, collection: &str, keys: &str, more: &[&str]| -> Result<()> {
        client.ask(&["DOC.CREATE", collection])?;
        let mut request = vec!["IDX.CREATE", collection, INDEX, keys, "UNIQUE", "SYNC"];
        request.extend_from_slice(more);
        client.ask(&request)?;
        Ok(())
    };
    create(&mut client, "plain", r#"{"k":1}"#, &[])?;
    create(&mut client, "sparse", r#"{"k":1}"#, &["SPARSE"])?;
    create(&mut client, "partial", r#"{"k":1}"#, &["PARTIAL", r#"{"live":true}"#])?;
    // More fields that can be null than combinations are looked up for.
    create(&mut client, "many", r#"{"a":1,"b":1,"c":-1,"d":1,"e":-1,"f":1,"g":1,"h":1,"i":1}"#, &[])?;
    create(&mut client, "pair", r#"{"k":1,"l":-1}"#, &[])?;
    // A document, and whether it can go in after those above it.
    let cases = [
        ("plain", r#"{}"#, true),
        ("plain", r#"{"other":1}"#, false),
        // Missing and null are different keys to a query and equal to a unique index, as in MongoDB.
        ("plain", r#"{"k":null}"#, false),
        ("plain", r#"{"k":1}"#, true),
        ("plain", r#"{"k":1.0}"#, false),
        ("plain", r#"{"k":{"$numberLong":"1"}}"#, false),
        ("plain", r#"{"k":{"$numberDecimal":"1.00"}}"#, false),
        ("plain", r#"{"k":"1"}"#, true),
        ("plain", r#"{"k":0}"#, true),
        ("plain", r#"{"k":{"$numberDouble":"-0.0"}}"#, false),
        ("plain", r#"{"k":[7,7,8]}"#, true),
        ("plain", r#"{"k":8}"#, false),
        ("plain", r#"{"k":[9,7]}"#, false),
        ("plain", r#"{"k":9}"#, true),
        ("plain", r#"{"k":{"a":1,"b":2}}"#, true),
        ("plain", r#"{"k":{"b":2,"a":1}}"#, true),
        ("plain", r#"{"k":{"a":1.0,"b":2}}"#, false),
        ("sparse", r#"{}"#, true),
        ("sparse", r#"{}"#, true),
        ("sparse", r#"{"k":null}"#, true),
        ("sparse", r#"{"k":null}"#, false),
        ("partial", r#"{"k":1,"live":true}"#, true),
        ("partial", r#"{"k":1,"live":false}"#, true),
        ("partial", r#"{"k":1}"#, true),
        ("partial", r#"{"k":1,"live":true}"#, false),
        ("pair", r#"{"k":1,"l":1}"#, true),
        ("pair", r#"{"k":1,"l":2}"#, true),
        ("pair", r#"{"k":1}"#, true),
        ("pair", r#"{"k":1,"l":null}"#, false),
        ("pair", r#"{"l":5}"#, true),
        ("pair", r#"{"k":null,"l":5}"#, false),
        ("pair", r#"{"k":null,"l":6}"#, true),
        ("pair", r#"{"l":6}"#, false),
        ("pair", r#"{"k":1,"l":1}"#, false),
        ("many", r#"{"a":1,"h":null}"#, true),
        ("many", r#"{"a":1,"c":null}"#, false),
        ("many", r#"{"a":1,"c":2}"#, true),
        ("many", r#"{"a":1,"b":null,"c":2,"h":null}"#, false),
        ("many", r#"{"a":2}"#, true),
        ("pair", r#"{"k":1}"#, false),
    ];
    for (collection, document, fits) in cases {
        let reply = client.run(&["DOC.INSERT", collection, document])?;
        assert_eq!(!reply.is_error("DUPKEY"), fits, "{collection} {document}: {reply}");
        if !fits {
            assert!(reply.to_string().contains(INDEX), "the message does not name the index: {reply}");
        }
    }
    // A build finds what an insert would.
    client.ask(&["DOC.INSERT", "built", r#"{"_id":"one","k":null,"l":3}"#, r#"{"_id":"two","k":1,"l":3}"#])?;
    client.ask(&["DOC.INSERT", "built", r#"{"_id":"three","l":3}"#])?;
    let reply = client.run(&["IDX.CREATE", "built", INDEX, r#"{"k":1,"l":1}"#, "UNIQUE", "SYNC"])?;
    assert!(reply.is_error("DUPKEY"), "{reply}");
    assert!(reply.to_string().contains("one") && reply.to_string().contains("three"), "{reply}");
    // Leaving and entering the partial index is a change like any other.
    let reply = client.run(&["DOC.UPDATE", "partial", r#"{"live":false}"#, r#"{"$set":{"live":true}}"#])?;
    assert!(reply.is_error("DUPKEY"), "{reply}");
    client.ask(&["DOC.UPDATE", "partial", r#"{"live":true}"#, r#"{"$unset":{"live":""}}"#])?;
    client.ask(&["DOC.UPDATE", "partial", r#"{"live":false}"#, r#"{"$set":{"live":true}}"#])?;
    // The key is in the message, and within one command all or nothing happens.
    let reply = client.run(&["DOC.INSERT", "plain", r#"{"_id":"x","k":"new"}"#, r#"{"_id":"y","k":"new"}"#])?;
    assert!(reply.is_error("DUPKEY") && reply.to_string().contains("new"), "{reply}");
    assert_eq!(client.ask(&["DOC.EXISTS", "plain", "x", "y"])?.expect_integer(), 0);
    for collection in ["plain", "sparse", "partial", "pair"] {
        indexing::verify(&mut client, collection, None)?;
    }
    Ok(())
}
