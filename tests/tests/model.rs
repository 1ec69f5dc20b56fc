//! Random histories of every write command against a plain map, with restarts in between.
//!
//! `VEDDB_SEED` repeats a run, `VEDDB_MODEL_STEPS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Map, Value as Json, json};
use veddb_tests::{Client, Options, Random, Value, seed, setting};

const DATABASES: [u8; 2] = [0, 3];
const COLLECTIONS: [&str; 4] = ["alpha", "beta", "gamma delta", "ε"];
const IDS: usize = 40;
const INDEXES: [(&str, &str); 4] =
    [("by_g", r#"{"g":1}"#), ("by_n", r#"{"n":-1}"#), ("by_a", r#"{"a":1}"#), ("by_g_n", r#"{"g":-1,"n":1}"#)];

/// A document of the model; members in their order.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    id: String,
    body: Map<String, Json>,
    version: u64,
    /// Milliseconds since 1970.
    expires_ms: Option<u64>,
}

impl Stored {
    fn text(&self) -> String {
        Json::Object(self.body.clone()).to_string()
    }
}

/// A collection: documents in the order of their insertion.
type Collection = Vec<Stored>;

/// What the server should hold.
#[derive(Debug, Clone, Default)]
struct Model(BTreeMap<(u8, String), Collection>);

fn new_body(id: &str, random: &mut Random) -> Map<String, Json> {
    let mut body = Map::new();
    body.insert("_id".into(), json!(id));
    fill(&mut body, random);
    body
}

fn fill(body: &mut Map<String, Json>, random: &mut Random) {
    body.insert("g".into(), json!(random.below(5)));
    if !random.one_in(4) {
        body.insert("n".into(), json!(random.below(1000)));
    }
    if random.one_in(2) {
        let length = random.below(300);
        body.insert("s".into(), json!("é\"\\\u{1}".repeat(length / 4)));
    }
    if random.one_in(3) {
        body.insert("a".into(), json!([random.below(9), {"x": random.below(9)}, null, 1.5]));
    }
}

fn an_id(random: &mut Random) -> String {
    format!("id-{}", random.below(IDS))
}

/// A time that has passed, ms since 1970.
const PAST_MS: u64 = 1000;

/// A time that has passed or that is far away, ms since 1970, as an option of DOC.SET too.
fn a_time(random: &mut Random) -> ([String; 2], u64) {
    let seconds = if random.one_in(6) { PAST_MS / 1000 } else { 4_000_000_000 + random.below(5) as u64 };
    let option = if random.one_in(2) {
        ["EXAT".to_owned(), seconds.to_string()]
    } else {
        ["PXAT".to_owned(), (seconds * 1000).to_string()]
    };
    (option, seconds * 1000)
}

/// What a filter says of a document.
type Passes = Box<dyn Fn(&Stored) -> bool>;

/// What an update does to a body.
type Apply = Box<dyn Fn(&mut Map<String, Json>)>;

/// A filter, and whether a document passes it.
fn a_filter(random: &mut Random) -> (Json, Passes) {
    let g = random.below(5) as u64;
    let n = random.below(1000) as u64;
    match random.below(5) {
        0 | 1 => {
            let id = an_id(random);
            (json!({"_id": id}), Box::new(move |stored| stored.id == id))
        }
        2 => (json!({"g": g}), Box::new(move |stored| stored.body.get("g") == Some(&json!(g)))),
        3 => (
            json!({"n": {"$gte": n}}),
            Box::new(move |stored| stored.body.get("n").and_then(Json::as_u64).is_some_and(|number| number >= n)),
        ),
        _ => {
            let ids = [an_id(random), an_id(random)];
            let wanted = json!({"_id": {"$in": ids}, "g": {"$ne": g}});
            (wanted, Box::new(move |stored| ids.contains(&stored.id) && stored.body.get("g") != Some(&json!(g))))
        }
    }
}

/// An update, and what it does to a body. A replacement document changes only one.
fn an_update(random: &mut Random, replacement_allowed: bool) -> (Json, Apply) {
    let number = random.below(50) as u64 + 1;
    match random.below(if replacement_allowed { 5 } else { 4 }) {
        0 => (
            json!({"$inc": {"n": number}}),
            Box::new(move |body| {
                let before = body.get("n").and_then(Json::as_u64).unwrap_or(0);
                body.insert("n".into(), json!(before + number));
            }),
        ),
        1 => (
            json!({"$set": {"g": number % 5, "t": "set"}}),
            Box::new(move |body| {
                body.insert("g".into(), json!(number % 5));
                body.insert("t".into(), json!("set"));
            }),
        ),
        2 => (
            json!({"$unset": {"s": ""}}),
            Box::new(|body| {
                body.shift_remove("s");
            }),
        ),
        3 => (
            json!({"$push": {"p": number}}),
            Box::new(move |body| {
                let list = body.entry("p").or_insert_with(|| json!([]));
                list.as_array_mut().expect("p is only ever pushed to").push(json!(number));
            }),
        ),
        _ => {
            let mut replacement = Map::new();
            fill(&mut replacement, random);
            let sent = Json::Object(replacement.clone());
            let apply = move |body: &mut Map<String, Json>| {
                let id = body.get("_id").cloned().unwrap_or_default();
                body.clear();
                body.insert("_id".into(), id);
                body.extend(replacement.clone());
            };
            (sent, Box::new(apply))
        }
    }
}

/// One run: the server's connection, the model, and where the history is.
struct History {
    client: Client,
    model: Model,
    random: Random,
    db: u8,
}

impl History {
    fn select(&mut self, db: u8) -> Result<()> {
        self.client.ask(&["SELECT", &db.to_string()])?;
        self.db = db;
        Ok(())
    }

    fn collection(&mut self, name: &str) -> &mut Collection {
        self.model.0.entry((self.db, name.to_owned())).or_default()
    }

    fn peek(&self, name: &str) -> &[Stored] {
        self.model.0.get(&(self.db, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    fn step(&mut self) -> Result<()> {
        if self.random.one_in(6) {
            let db = *self.random.pick(&DATABASES);
            self.select(db)?;
        }
        let name = *self.random.pick(&COLLECTIONS);
        match self.random.below(27) {
            0..=4 => self.insert(name),
            5..=8 => self.set(name),
            9..=10 => self.del(name),
            11..=14 => self.update(name),
            15 => self.delete(name),
            16..=18 => self.bulk(name),
            19 => self.create(name),
            20 => self.rename(name),
            21 => self.index(name),
            22 => self.find(name),
            23..=25 => self.expire(name),
            _ if self.random.one_in(4) => self.drop(name),
            _ => self.upsert(name),
        }
    }

    fn insert(&mut self, name: &str) -> Result<()> {
        let count = 1 + self.random.below(4);
        let ids: Vec<String> = (0..count).map(|_| an_id(&mut self.random)).collect();
        let bodies: Vec<_> = ids.iter().map(|id| new_body(id, &mut self.random)).collect();
        let unordered = self.random.one_in(3);
        let mut request = vec!["DOC.INSERT".to_owned(), name.to_owned()];
        request.extend(bodies.iter().map(|body| Json::Object(body.clone()).to_string()));
        if unordered {
            request.push("UNORDERED".to_owned());
        }
        let mut taken: BTreeSet<String> = self.peek(name).iter().map(|stored| stored.id.clone()).collect();
        let fits: Vec<bool> = ids.iter().map(|id| taken.insert(id.clone())).collect();
        let reply = self.client.run(&request)?;
        if !unordered && fits.contains(&false) {
            assert!(reply.is_error("DUPKEY"), "{request:?}: {reply}");
            return Ok(());
        }
        assert_eq!(reply.expect_array().len(), count, "{request:?}: {reply}");
        for (((answer, fits), id), body) in reply.expect_array().iter().zip(fits).zip(ids).zip(bodies) {
            if fits {
                assert_eq!(answer.expect_text(), id);
                self.collection(name).push(Stored { id, body, version: 1, expires_ms: None });
            } else {
                assert!(answer.is_error("DUPKEY"), "{request:?}: {reply}");
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str) -> Result<()> {
        let id = an_id(&mut self.random);
        let mut body = new_body(&id, &mut self.random);
        let at = self.peek(name).iter().position(|stored| stored.id == id);
        let version = at.map_or(0, |at| self.peek(name)[at].version);
        let mut sent = body.clone();
        if self.random.one_in(2) {
            sent.shift_remove("_id");
        }
        let mut request = vec!["DOC.SET".to_owned(), name.to_owned(), id.clone(), Json::Object(sent).to_string()];
        let mut holds = true;
        let expires_ms = match self.random.below(6) {
            0 => {
                let (option, expires_ms) = a_time(&mut self.random);
                request.extend(option);
                Some(expires_ms)
            }
            1 => {
                request.push("KEEPTTL".to_owned());
                at.and_then(|at| self.peek(name)[at].expires_ms)
            }
            _ => None,
        };
        match self.random.below(5) {
            0 => {
                request.push("NX".to_owned());
                holds = at.is_none();
            }
            1 => {
                request.push("XX".to_owned());
                holds = at.is_some();
            }
            2 => {
                let expected = if self.random.one_in(3) { version + 1 } else { version };
                request.extend(["IFVER".to_owned(), expected.to_string()]);
                if expected != version {
                    let reply = self.client.run(&request)?;
                    assert!(reply.is_error("CONFLICT"), "{request:?}: {reply}");
                    return Ok(());
                }
            }
            _ => {}
        }
        let reply = self.client.run(&request)?;
        if !holds {
            assert_eq!(reply, Value::Null, "{request:?}");
            return Ok(());
        }
        assert_eq!(reply, Value::Integer(version as i64 + 1), "{request:?}");
        body.insert("_id".into(), json!(id));
        let collection = self.collection(name);
        let stored = Stored { id, body, version: version + 1, expires_ms };
        match (at, expires_ms) {
            (Some(at), Some(PAST_MS)) => drop(collection.remove(at)),
            (Some(at), _) => collection[at] = stored,
            (None, Some(PAST_MS)) => {}
            (None, _) => collection.push(stored),
        }
        Ok(())
    }

    /// Gives a document an expiry, or takes it away. It is the same document, so the version stays.
    fn expire(&mut self, name: &str) -> Result<()> {
        let id = an_id(&mut self.random);
        let at = self.peek(name).iter().position(|stored| stored.id == id);
        let before = at.and_then(|at| self.peek(name)[at].expires_ms);
        if self.random.one_in(4) {
            let done = self.client.run(&["DOC.PERSIST", name, &id])?;
            assert_eq!(done, Value::Integer(i64::from(before.is_some())), "DOC.PERSIST {name} {id}");
            if let Some(at) = at {
                self.collection(name)[at].expires_ms = None;
            }
            return Ok(());
        }
        let (_, expires_ms) = a_time(&mut self.random);
        let (condition, holds) = match self.random.below(6) {
            0 => ("NX", before.is_none()),
            1 => ("XX", before.is_some()),
            2 => ("GT", before.is_some_and(|before| expires_ms > before)),
            3 => ("LT", before.is_none_or(|before| expires_ms < before)),
            _ => ("", true),
        };
        let mut request = vec!["DOC.PEXPIREAT".to_owned(), name.to_owned(), id, expires_ms.to_string()];
        if !condition.is_empty() {
            request.push(condition.to_owned());
        }
        let done = at.filter(|_| holds);
        assert_eq!(self.client.run(&request)?, Value::Integer(i64::from(done.is_some())), "{request:?}");
        match done {
            Some(at) if expires_ms == PAST_MS => drop(self.collection(name).remove(at)),
            Some(at) => self.collection(name)[at].expires_ms = Some(expires_ms),
            None => {}
        }
        Ok(())
    }

    fn del(&mut self, name: &str) -> Result<()> {
        let ids: BTreeSet<String> = (0..1 + self.random.below(3)).map(|_| an_id(&mut self.random)).collect();
        let mut request = vec!["DOC.DEL".to_owned(), name.to_owned()];
        request.extend(ids.iter().cloned());
        let there = self.peek(name).iter().filter(|stored| ids.contains(&stored.id)).count();
        assert_eq!(self.client.run(&request)?, Value::Integer(there as i64), "{request:?}");
        if there > 0 {
            self.collection(name).retain(|stored| !ids.contains(&stored.id));
        }
        Ok(())
    }

    fn update(&mut self, name: &str) -> Result<()> {
        let one = self.random.one_in(2);
        let (filter, passes) = a_filter(&mut self.random);
        let (update, apply) = an_update(&mut self.random, one);
        let mut request = vec!["DOC.UPDATE".to_owned(), name.to_owned(), filter.to_string(), update.to_string()];
        if one {
            request.push("ONE".to_owned());
        }
        let first = self.peek(name).iter().position(&passes);
        let (matched, mut modified) = change(&mut self.model, self.db, name, one, &passes, &apply);
        // A replacement counts as a change whatever it replaces.
        let replaces = update.as_object().is_some_and(|update| !update.keys().any(|name| name.starts_with('$')));
        if let Some(at) = first.filter(|_| replaces && modified == 0) {
            self.collection(name)[at].version += 1;
            modified = 1;
        }
        let reply = self.client.ask(&request)?;
        check_counts(&reply, &[("matched", matched), ("modified", modified)], &request);
        assert_eq!(reply.get("upserted"), Some(&Value::Null), "{request:?}: {reply}");
        Ok(())
    }

    fn upsert(&mut self, name: &str) -> Result<()> {
        let id = an_id(&mut self.random);
        let number = self.random.below(100);
        let filter = json!({"_id": id}).to_string();
        let update = json!({"$set": {"u": number}}).to_string();
        let request = ["DOC.UPDATE", name, &filter, &update, "UPSERT"];
        let reply = self.client.ask(&request)?;
        if self.peek(name).iter().any(|stored| stored.id == id) {
            let apply = |body: &mut Map<String, Json>| {
                body.insert("u".into(), json!(number));
            };
            let (matched, modified) = change(&mut self.model, self.db, name, false, &|stored| stored.id == id, &apply);
            check_counts(&reply, &[("matched", matched), ("modified", modified)], &request);
            assert_eq!(reply.get("upserted"), Some(&Value::Null), "{request:?}: {reply}");
        } else {
            check_counts(&reply, &[("matched", 0), ("modified", 0)], &request);
            assert_eq!(reply.get("upserted").and_then(Value::text), Some(id.as_str()), "{request:?}: {reply}");
            let mut body = Map::new();
            body.insert("_id".into(), json!(id));
            body.insert("u".into(), json!(number));
            self.collection(name).push(Stored { id, body, version: 1, expires_ms: None });
        }
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<()> {
        let (filter, passes) = a_filter(&mut self.random);
        let one = self.random.one_in(2);
        let mut request = vec!["DOC.DELETE".to_owned(), name.to_owned(), filter.to_string()];
        if one {
            request.push("ONE".to_owned());
        }
        let gone = remove(&mut self.model, self.db, name, one, &passes);
        assert_eq!(self.client.run(&request)?, Value::Integer(gone as i64), "{request:?}");
        Ok(())
    }

    fn bulk(&mut self, name: &str) -> Result<()> {
        let unordered = self.random.one_in(2);
        let mut operations = Vec::new();
        // inserted, matched, modified, deleted
        let mut counts = [0; 4];
        let mut failed = 0;
        for _ in 0..1 + self.random.below(5) {
            let stopped = failed > 0 && !unordered;
            let one = self.random.one_in(2);
            match self.random.below(3) {
                0 => {
                    let id = an_id(&mut self.random);
                    let body = new_body(&id, &mut self.random);
                    operations.push(json!({"insertOne": {"document": body}}));
                    if stopped {
                        continue;
                    }
                    if self.peek(name).iter().any(|stored| stored.id == id) {
                        failed += 1;
                    } else {
                        counts[0] += 1;
                        self.collection(name).push(Stored { id, body, version: 1, expires_ms: None });
                    }
                }
                1 => {
                    let (filter, passes) = a_filter(&mut self.random);
                    let (update, apply) = an_update(&mut self.random, false);
                    let kind = if one { "updateOne" } else { "updateMany" };
                    operations.push(json!({kind: {"filter": filter, "update": update}}));
                    if !stopped {
                        let (matched, modified) = change(&mut self.model, self.db, name, one, &passes, &apply);
                        counts[1] += matched;
                        counts[2] += modified;
                    }
                }
                _ => {
                    let (filter, passes) = a_filter(&mut self.random);
                    let kind = if one { "deleteOne" } else { "deleteMany" };
                    operations.push(json!({kind: {"filter": filter}}));
                    if !stopped {
                        counts[3] += remove(&mut self.model, self.db, name, one, &passes);
                    }
                }
            }
        }
        let mut request = vec!["DOC.BULK".to_owned(), name.to_owned(), Json::Array(operations).to_string()];
        if unordered {
            request.push("UNORDERED".to_owned());
        }
        let reply = self.client.ask(&request)?;
        let [inserted, matched, modified, deleted] = counts;
        let expected = [("inserted", inserted), ("matched", matched), ("modified", modified), ("deleted", deleted)];
        check_counts(&reply, &expected, &request);
        let errors = reply.get("errors").context("no errors in the reply")?.expect_array();
        assert_eq!(errors.len(), failed, "{request:?}: {reply}");
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<()> {
        // Creating what exists with the same options changes nothing.
        assert_eq!(self.client.run(&["DOC.CREATE", name])?, Value::Simple("OK".into()), "DOC.CREATE {name}");
        self.collection(name);
        Ok(())
    }

    fn drop(&mut self, name: &str) -> Result<()> {
        let there = self.model.0.remove(&(self.db, name.to_owned())).is_some();
        assert_eq!(self.client.run(&["DOC.DROP", name])?, Value::Integer(i64::from(there)), "DOC.DROP {name}");
        Ok(())
    }

    /// Makes or drops an index. Nothing that the model knows changes.
    fn index(&mut self, name: &str) -> Result<()> {
        if !self.model.0.contains_key(&(self.db, name.to_owned())) {
            return Ok(());
        }
        let (index, keys) = *self.random.pick(&INDEXES);
        if self.random.one_in(3) {
            self.client.ask(&["IDX.DROP", name, index])?;
        } else if self.random.one_in(2) {
            self.client.ask(&["IDX.CREATE", name, index, keys])?;
        } else {
            self.client.ask(&["IDX.CREATE", name, index, keys, "SYNC"])?;
        }
        Ok(())
    }

    /// Documents by a filter, under whatever plan the indexes of the moment give.
    fn find(&mut self, name: &str) -> Result<()> {
        let (filter, passes) = a_filter(&mut self.random);
        let found = self.client.ask(&["DOC.FIND", name, &filter.to_string()])?;
        let found: Vec<&str> = found.expect_array().iter().map(Value::expect_text).collect();
        let expected: Vec<String> = self.peek(name).iter().filter(|stored| passes(stored)).map(Stored::text).collect();
        assert_eq!(found, expected, "DOC.FIND {name} {filter}");
        Ok(())
    }

    fn rename(&mut self, name: &str) -> Result<()> {
        let to = *self.random.pick(&COLLECTIONS);
        if to == name {
            return Ok(());
        }
        let reply = self.client.run(&["DOC.RENAME", name, to])?;
        let (from, to) = ((self.db, name.to_owned()), (self.db, to.to_owned()));
        if !self.model.0.contains_key(&from) || self.model.0.contains_key(&to) {
            assert!(reply.is_error("ERR"), "DOC.RENAME {from:?} {to:?}: {reply}");
            return Ok(());
        }
        assert_eq!(reply, Value::Simple("OK".into()), "DOC.RENAME {from:?} {to:?}");
        let moved = self.model.0.remove(&from).context("was just there")?;
        self.model.0.insert(to, moved);
        Ok(())
    }

    /// Everything the server holds is what the model holds, in the same order and with the same versions.
    fn compare(&mut self) -> Result<()> {
        let before = self.db;
        for db in DATABASES {
            self.select(db)?;
            let names = self.client.ask(&["DOC.COLLECTIONS"])?;
            let names: Vec<&str> = names.expect_array().iter().map(Value::expect_text).collect();
            let expected: Vec<&str> =
                self.model.0.keys().filter(|(of, _)| *of == db).map(|(_, name)| name.as_str()).collect();
            assert_eq!(names, expected, "the collections of database {db}");
            for name in expected {
                let verified = self.client.ask(&["IDX.VERIFY", name])?;
                for wrong in ["missing", "dangling"] {
                    assert_eq!(verified.get(wrong), Some(&Value::Integer(0)), "IDX.VERIFY {name}: {verified}");
                }
            }
            for name in COLLECTIONS {
                let documents: Vec<Stored> = self.peek(name).to_vec();
                let found = self.client.ask(&["DOC.FIND", name, "{}"])?;
                let found: Vec<&str> = found.expect_array().iter().map(Value::expect_text).collect();
                let expected: Vec<String> = documents.iter().map(Stored::text).collect();
                assert_eq!(found, expected, "DOC.FIND in {name} of database {db}");
                assert_eq!(self.client.ask(&["DOC.COUNT", name])?, Value::Integer(documents.len() as i64));
                for at in 0..IDS {
                    let id = format!("id-{at}");
                    let stored = documents.iter().find(|stored| stored.id == id);
                    let expires_ms = stored.map_or(-2, |stored| stored.expires_ms.map_or(-1, |ms| ms as i64));
                    let reply = self.client.ask(&["DOC.PEXPIRETIME", name, &id])?;
                    assert_eq!(reply, Value::Integer(expires_ms), "the expiry of {id} in {name}");
                    let reply = self.client.ask(&["DOC.GET", name, &id, "WITHVER"])?;
                    match stored {
                        Some(stored) => {
                            let pair = reply.expect_array();
                            assert_eq!(pair[0], Value::Integer(stored.version as i64), "the version of {id} in {name}");
                            assert_eq!(pair[1].expect_text(), stored.text());
                        }
                        None => assert!(matches!(reply, Value::Null | Value::NullArray), "{id} in {name}: {reply}"),
                    }
                }
            }
        }
        self.select(before)
    }
}

fn change(
    model: &mut Model,
    db: u8,
    name: &str,
    one: bool,
    passes: &dyn Fn(&Stored) -> bool,
    apply: &dyn Fn(&mut Map<String, Json>),
) -> (usize, usize) {
    let Some(collection) = model.0.get_mut(&(db, name.to_owned())) else { return (0, 0) };
    let (mut matched, mut modified) = (0, 0);
    for stored in collection.iter_mut().filter(|stored| passes(stored)).take(if one { 1 } else { usize::MAX }) {
        let before = stored.text();
        apply(&mut stored.body);
        matched += 1;
        if stored.text() != before {
            modified += 1;
            stored.version += 1;
        }
    }
    (matched, modified)
}

fn remove(model: &mut Model, db: u8, name: &str, one: bool, passes: &dyn Fn(&Stored) -> bool) -> usize {
    let Some(collection) = model.0.get_mut(&(db, name.to_owned())) else { return 0 };
    let before = collection.len();
    if one {
        if let Some(at) = collection.iter().position(passes) {
            collection.remove(at);
        }
    } else {
        collection.retain(|stored| !passes(stored));
    }
    before - collection.len()
}

fn check_counts(reply: &Value, expected: &[(&str, usize)], request: &[impl std::fmt::Debug]) {
    for (name, count) in expected {
        assert_eq!(reply.get(name), Some(&Value::Integer(*count as i64)), "{name} of {request:?}: {reply}");
    }
}

#[test]
fn the_server_agrees_with_the_model() -> Result<()> {
    let seed = seed();
    let steps = setting("VEDDB_MODEL_STEPS", 3000);
    let mut random = Random::new(seed);
    // Small budgets, so that reads go to the disk as well.
    let mut server = Options::new()
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        .start()?;
    let mut history =
        History { client: server.client()?, model: Model::default(), random: Random::new(random.number()), db: 0 };
    for step in 0..steps {
        history.step().with_context(|| format!("step {step} of seed {seed}"))?;
        if random.one_in(150) {
            history.compare()?;
            if random.one_in(2) {
                server.stop()?;
            } else {
                server.kill()?;
            }
            server.restart()?;
            history.client = server.client()?;
            history.select(0)?;
            history.compare().with_context(|| format!("after the restart at step {step} of seed {seed}"))?;
        }
    }
    history.compare()
}
