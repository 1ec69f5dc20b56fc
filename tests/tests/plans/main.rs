//! One answer under every plan: random queries on the same documents under every subset of four indexes.
//!
//! Sixteen collections hold the same documents, inserted in the same order, and differ in their indexes. Every reply is
//! compared with that of the collection that has none, as a sequence, and so is the reply under each HINT.
//!
//! `VEDDB_SEED` repeats a run, `VEDDB_PLAN_PAIRS` (100,000; by hand 2,000,000) makes it longer.

mod documents;
#[path = "../indexing/mod.rs"]
mod indexing;
mod queries;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Random, Server, Value, seed, setting};

use documents::{Flavor, Index, document, member};
use queries::Query;

const INDEXES: usize = 4;
/// The collections, by the set of indexes each has.
const SUBSETS: usize = 1 << INDEXES;
/// Documents of a round, before deletions.
const DOCUMENTS: usize = 140;
/// After so many pairs the next round draws other indexes and documents.
const ROUND_PAIRS: u64 = 4000;
/// Every how many queries the plan is asked for, and the documents are changed.
const EXPLAIN_EVERY: u64 = 6;
const CHANGE_EVERY: u64 = 25;

/// Has every index from the start, and takes each write first: what it refuses, none is sent.
const PROBE: &str = "probe";

fn collection(subset: usize) -> String {
    format!("c{subset}")
}

/// What has been compared so far, and whether it meant anything.
#[derive(Debug, Default)]
struct Tally {
    pairs: u64,
    queries: u64,
    /// Of them, those that found something, and not everything.
    selective: u64,
    documents: u64,
    /// Writes refused for arrays that are parallel.
    refused: u64,
    /// Sorts refused for such arrays.
    parallel: u64,
    explained: u64,
    by_index: u64,
    covered: u64,
    sorted_by_index: u64,
}

struct Round<'s> {
    server: &'s mut Server,
    client: Client,
    random: Random,
    flavor: Flavor,
    indexes: Vec<Index>,
    ids: BTreeSet<String>,
    /// What a failure says first.
    name: String,
}

impl Round<'_> {
    fn everywhere() -> impl Iterator<Item = String> {
        [PROBE.to_owned()].into_iter().chain((0..SUBSETS).map(collection))
    }

    fn prepare(&mut self) -> Result<()> {
        for name in Round::everywhere() {
            self.client.ask(&["DOC.CREATE", &name])?;
        }
        for index in &self.indexes {
            self.client.ask(&index.create(PROBE))?;
        }
        Ok(())
    }

    /// Creates the indexes whose time has come; documents that are there already are built into them.
    fn create_indexes(&mut self, stage: usize) -> Result<()> {
        for (at, index) in self.indexes.iter().enumerate().filter(|(_, index)| index.stage == stage) {
            for subset in (0..SUBSETS).filter(|subset| subset & (1 << at) != 0) {
                self.client.ask(&index.create(&collection(subset))).with_context(|| self.name.clone())?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, numbers: std::ops::Range<usize>, tally: &mut Tally) -> Result<()> {
        let drawn: Vec<(String, String)> = numbers
            .map(|number| format!("d{number}"))
            .map(|id| (id.clone(), document(&mut self.random, &self.flavor, &id).to_string()))
            .collect();
        let insert = |name: &str| vec!["DOC.INSERT".to_owned(), name.to_owned()];
        let alone = |text: &String| [insert(PROBE), vec![text.clone()]].concat();
        let probes: Vec<Vec<String>> = drawn.iter().map(|(_, text)| alone(text)).collect();
        let replies = self.client.pipeline(&probes)?;
        let mut accepted = Vec::new();
        for ((id, text), reply) in drawn.into_iter().zip(replies) {
            tally.documents += 1;
            if matches!(reply, Value::Error(_)) {
                tally.refused += 1;
                // Parallel arrays need a compound index.
                assert!(self.indexes.iter().any(|index| index.keys.len() > 1), "{}: {text}: {reply}", self.name);
                continue;
            }
            self.ids.insert(id);
            accepted.push(text);
        }
        if accepted.is_empty() {
            return Ok(());
        }
        for subset in 0..SUBSETS {
            let request = [insert(&collection(subset)), accepted.clone()].concat();
            let reply = self.client.ask(&request).with_context(|| format!("{}, set {subset}", self.name))?;
            assert_eq!(reply.expect_array().len(), accepted.len());
        }
        Ok(())
    }

    /// A change of one document or of some. Changes of several only touch what cannot be refused.
    fn a_change(&mut self) -> Option<Vec<String>> {
        let random = &mut self.random;
        let ids: Vec<&String> = self.ids.iter().collect();
        let id = (*ids.get(random.below(ids.len().max(1)))?).clone();
        let filter = json!({"_id": id}).to_string();
        let path = *random.pick(&documents::PATHS);
        let update = |update: Json| vec!["DOC.UPDATE".to_owned(), filter.clone(), update.to_string()];
        Some(match random.below(12) {
            0..=3 => match member(random, &self.flavor, path.split('.').next().unwrap_or(path)) {
                Some(value) => update(json!({"$set": {path: value}})),
                None => update(json!({"$unset": {path: ""}})),
            },
            4 => update(json!({"$unset": {path: ""}})),
            5 if self.flavor.array_at(path) => {
                update(json!({"$push": {path: documents::scalar(random, &self.flavor)}}))
            }
            5 | 6 => update(json!({"$inc": {path: 1}})),
            7 | 8 => {
                let text = document(random, &self.flavor, &id).to_string();
                vec!["DOC.SET".to_owned(), id, text]
            }
            9 => {
                self.ids.remove(&id);
                vec!["DOC.DEL".to_owned(), id]
            }
            10 => {
                let filter = Query::draw(random, &self.flavor, &self.indexes).filter.to_string();
                let update = json!({"$set": {"c": random.below(6)}}).to_string();
                let mut words = vec!["DOC.UPDATE".to_owned(), filter, update];
                // A document that comes into a partial index can be refused by it, after others were changed.
                let refusable = self.indexes.iter().any(|index| index.partial.is_some() && index.keys.len() > 1);
                words.extend((refusable || random.one_in(2)).then(|| "ONE".to_owned()));
                words
            }
            _ => {
                let filter = Query::draw(random, &self.flavor, &self.indexes).filter.to_string();
                vec!["DOC.DELETE".to_owned(), filter, "ONE".to_owned()]
            }
        })
    }

    /// Changes documents, in the same way in all collections.
    fn change(&mut self, count: usize, tally: &mut Tally) -> Result<()> {
        for _ in 0..count {
            let Some(words) = self.a_change() else { return Ok(()) };
            let to = |name: String| {
                let mut request = words.clone();
                request.insert(1, name);
                request
            };
            tally.documents += 1;
            let probed = self.client.run(&to(PROBE.to_owned()))?;
            if matches!(probed, Value::Error(_)) {
                tally.refused += 1;
                continue;
            }
            let requests: Vec<Vec<String>> = (0..SUBSETS).map(|subset| to(collection(subset))).collect();
            for (request, reply) in requests.iter().zip(self.client.pipeline(&requests)?) {
                assert_eq!(reply, probed, "{}: {request:?}", self.name);
            }
        }
        Ok(())
    }

    fn fail(&self, query: &[String], reference: &Value, found: &Value) -> ! {
        let indexes: Vec<String> = self.indexes.iter().map(|index| index.create("").join(" ")).collect();
        panic!(
            "{}\nthe query: {}\nthe indexes (of a set's bits, the lowest first):\n  {}\nwithout an index: {}\nwith: {}",
            self.name,
            query.join(" "),
            indexes.join("\n  "),
            shown(reference),
            shown(found)
        );
    }

    fn compare(&mut self, query: &Query, tally: &mut Tally) -> Result<()> {
        let full = collection(SUBSETS - 1);
        let mut requests: Vec<Vec<String>> = (0..SUBSETS).map(|subset| query.find(&collection(subset), None)).collect();
        requests.extend(self.indexes.iter().map(|index| query.find(&full, Some(&index.name))));
        requests.push(query.find(&full, Some("_id_")));
        let counts = requests.len();
        // The hint's answer may be that there is none.
        let may_lack = |at: usize| {
            let hinted = at.checked_sub(SUBSETS).and_then(|at| self.indexes.get(at));
            hinted.is_some_and(|index| !index.is_complete())
        };
        requests.extend((0..SUBSETS).map(|subset| query.count(&collection(subset))));
        let replies = self.client.pipeline(&requests)?;
        for (part, start) in [(&replies[..counts], 0), (&replies[counts..], counts)] {
            let reference = &part[0];
            // Of documents in which keys lead through different arrays; then it is refused under every plan.
            let parallel = reference.to_string().contains("cannot sort by parallel arrays");
            let refused = matches!(reference, Value::Error(_));
            assert!(!refused || parallel, "{}: {:?}: {reference}", self.name, requests[start]);
            tally.parallel += u64::from(refused);
            for (at, reply) in part.iter().enumerate().skip(1) {
                let lacks = start == 0 && may_lack(at) && reply.is_error("NOINDEX");
                if reply != reference && !lacks {
                    self.fail(&requests[start + at], reference, reply);
                }
                tally.pairs += 1;
            }
        }
        tally.queries += 1;
        let all = self.ids.len() as i64;
        tally.selective += u64::from(matches!(replies[counts], Value::Integer(count) if count > 0 && count < all));
        if tally.queries.is_multiple_of(EXPLAIN_EVERY) && !matches!(replies[0], Value::Error(_)) {
            self.explain(query, &replies[0], tally)?;
        }
        Ok(())
    }

    /// Counts the plans that are taken, without which nothing would have been compared.
    fn explain(&mut self, query: &Query, answer: &Value, tally: &mut Tally) -> Result<()> {
        let find = query.find(&collection(SUBSETS - 1), None);
        let mut request = vec!["DOC.EXPLAIN".to_owned(), "FIND".to_owned()];
        request.extend(find.into_iter().skip(1).filter(|word| word != "WITHVER"));
        let reply = self.client.ask(&request).with_context(|| self.name.clone())?;
        let explained: Json = serde_json::from_str(reply.expect_text())?;
        let returned = explained["returned"].as_u64();
        assert_eq!(returned, Some(answer.expect_array().len() as u64), "{}: {request:?}: {explained}", self.name);
        let plan = &explained["plan"];
        let by_index = plan["stage"] == "IXSCAN";
        tally.explained += 1;
        tally.by_index += u64::from(by_index);
        tally.covered += u64::from(by_index && plan["covered"] == true);
        tally.sorted_by_index += u64::from(by_index && plan["sortFromIndex"] == true);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        if self.random.one_in(2) {
            self.server.stop()?;
        } else {
            self.server.kill()?;
        }
        self.server.restart()?;
        self.client = self.server.client()?;
        Ok(())
    }

    /// Every index has what its documents say; then nothing of the round is left.
    fn end(&mut self) -> Result<()> {
        let expected = self.client.ask(&["DOC.COUNT", &collection(0)])?;
        for name in Round::everywhere() {
            assert_eq!(self.client.ask(&["DOC.COUNT", &name])?, expected, "{}: {name}", self.name);
            indexing::verify(&mut self.client, &name, None).with_context(|| self.name.clone())?;
            for index in indexing::list(&mut self.client, &name)? {
                assert_eq!(indexing::text(&index, "state"), "ready", "{}, {name}: {index}", self.name);
            }
            self.client.ask(&["DOC.DROP", &name])?;
        }
        Ok(())
    }

    fn run(&mut self, pairs: u64, tally: &mut Tally) -> Result<()> {
        self.prepare()?;
        self.create_indexes(0)?;
        self.insert(0..DOCUMENTS / 2, tally)?;
        self.change(10, tally)?;
        self.create_indexes(1)?;
        self.insert(DOCUMENTS / 2..DOCUMENTS, tally)?;
        self.change(20, tally)?;
        self.create_indexes(2)?;
        let until = tally.pairs + pairs;
        let mut restart_at = self.random.one_in(3).then_some(tally.pairs + pairs / 2);
        while tally.pairs < until {
            let query = Query::draw(&mut self.random, &self.flavor, &self.indexes);
            self.compare(&query, tally)?;
            if tally.queries.is_multiple_of(CHANGE_EVERY) {
                self.change(3, tally)?;
            }
            if restart_at.is_some_and(|at| tally.pairs >= at) {
                restart_at = None;
                self.restart()?;
                self.compare(&query, tally)?;
            }
        }
        self.end()
    }
}

/// A reply as a failure shows it: no line and no list without end.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let lines: Vec<String> = text.lines().take(200).map(|line| line.chars().take(400).collect()).collect();
    lines.join("\n")
}

#[test]
fn the_answer_does_not_depend_on_the_plan() -> Result<()> {
    let seed = seed();
    let pairs = setting("VEDDB_PLAN_PAIRS", 100_000);
    let mut random = Random::new(seed);
    // Small budgets, so that plans also read pages that were evicted.
    let mut server = Options::new()
        .set("maxmemory-cache", "1mb")
        .set("maxmemory-index", "1mb")
        .set("maxmemory-writes", "1mb")
        .set("log-segment-size", "1mb")
        .start()?;
    let mut tally = Tally::default();
    let mut round = 0;
    while tally.pairs < pairs {
        let mut random = Random::new(random.number());
        let flavor = Flavor::draw(&mut random);
        let indexes = Index::draw(&mut random, &flavor, INDEXES);
        let (client, name) = (server.client()?, format!("round {round} of seed {seed}"));
        let ids = BTreeSet::new();
        let rest = pairs - tally.pairs;
        let mut next = Round { server: &mut server, client, random, flavor, indexes, ids, name: name.clone() };
        next.run(rest.min(ROUND_PAIRS), &mut tally).context(name)?;
        round += 1;
    }
    println!("{round} rounds, {tally:?}");
    let Tally {
        queries, parallel, selective, documents, refused, explained, by_index, covered, sorted_by_index, ..
    } = tally;
    assert!(parallel * 4 < queries, "{parallel} of {queries} sorts were refused");
    assert!(refused * 2 < documents, "most documents were refused");
    assert!(selective * 4 > queries, "only {selective} of {queries} queries told documents apart");
    assert!(by_index * 4 > explained, "only {by_index} of {explained} plans took an index");
    // Shares so small that only a planner without these plans misses them.
    if explained > 200 {
        assert!(covered > 0, "none of {explained} plans was covered");
        assert!(sorted_by_index > 0, "none of {explained} plans took its order from an index");
    }
    Ok(())
}
