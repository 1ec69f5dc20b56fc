//! One answer with and without what makes pipelines fast: random pipelines on documents without an index, on the same
//! documents with indexes, and with every stage kept where it stands by a `$redact` that keeps everything, which nothing
//! moves across. All three answers are compared as sequences, and so is what cursors give while others write.
//!
//! `VEDDB_SEED` repeats a run, `VEDDB_PIPELINES` (600; by hand 100,000) makes it longer.

#[allow(dead_code, reason = "the plan suite uses the rest")]
#[path = "../plans/documents.rs"]
mod documents;
#[allow(dead_code, reason = "the plan suite uses the rest")]
#[path = "../plans/queries.rs"]
mod queries;
mod stages;

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};
use veddb_tests::{Client, Options, Random, Value, seed, setting};

use documents::{Flavor, Index, document};
use stages::pipeline;

/// Documents of the collection that is read, and of the one that it is joined with.
const DOCUMENTS: usize = 70;
const FOREIGN: usize = 40;
/// After so many pipelines the next round draws other indexes and documents.
const ROUND_PIPELINES: u64 = 100;
/// Every how many pipelines one is read by a cursor.
const CURSOR_EVERY: u64 = 5;

/// Collections without an index, and the same with some.
const PLAIN: [&str; 2] = ["plain", "plain_foreign"];
const INDEXED: [&str; 2] = ["indexed", "indexed_foreign"];

/// What has been compared so far, and whether it meant anything.
#[derive(Debug, Default)]
struct Tally {
    pipelines: u64,
    /// Of them, those whose answer has rows.
    found: u64,
    /// Those that end in an error where nothing is moved.
    refused: u64,
    by_index: u64,
    cursors: u64,
}

struct Round {
    client: Client,
    random: Random,
    flavor: Flavor,
    indexes: Vec<Index>,
    name: String,
    next_id: usize,
}

impl Round {
    fn prepare(&mut self) -> Result<()> {
        for name in INDEXED {
            for index in &self.indexes {
                self.client.ask(&index.create(name))?;
            }
        }
        for (at, count) in [DOCUMENTS, FOREIGN].into_iter().enumerate() {
            self.client.ask(&["DOC.CREATE", PLAIN[at]])?;
            for _ in 0..count {
                self.insert(at)?;
            }
        }
        Ok(())
    }

    /// One document more, unless an index refuses it.
    fn insert(&mut self, at: usize) -> Result<()> {
        self.next_id += 1;
        let text = document(&mut self.random, &self.flavor, &format!("d{}", self.next_id)).to_string();
        if !matches!(self.client.run(&["DOC.INSERT", INDEXED[at], &text])?, Value::Error(_)) {
            self.client.ask(&["DOC.INSERT", PLAIN[at], &text])?;
        }
        Ok(())
    }

    /// A change of both collections that indexes cannot refuse.
    fn change(&mut self) -> Result<()> {
        for at in 0..2 {
            self.insert(at)?;
            let id = format!("d{}", 1 + self.random.below(self.next_id));
            let deletes = self.random.one_in(3);
            let update = json!({"$set": {"c": self.random.below(6)}}).to_string();
            for name in [PLAIN[at], INDEXED[at]] {
                let filter = json!({"_id": id}).to_string();
                match deletes {
                    true => self.client.ask(&["DOC.DEL", name, &id])?,
                    false if self.indexes.iter().all(|index| index.partial.is_none()) => {
                        self.client.ask(&["DOC.UPDATE", name, &filter, &update])?
                    }
                    false => continue,
                };
            }
        }
        Ok(())
    }

    fn fail(&self, what: &str, pipeline: &Json, expected: &Value, found: &Value) -> ! {
        let indexes: Vec<String> = self.indexes.iter().map(|index| index.create("").join(" ")).collect();
        panic!(
            "{}, {what}\nthe pipeline: {pipeline}\nthe indexes:\n  {}\nwith every stage in its place: {}\nfound: {}",
            self.name,
            indexes.join("\n  "),
            shown(expected),
            shown(found)
        );
    }

    fn compare(&mut self, tally: &mut Tally) -> Result<()> {
        let (random, flavor) = (&mut self.random, &self.flavor);
        let plain = pipeline(random, flavor, &self.indexes);
        let fixed = stages::fixed(&plain, PLAIN[1]);
        let (plain, indexed) = (stages::joined_with(&plain, PLAIN[1]), stages::joined_with(&plain, INDEXED[1]));
        let ask =
            |name: &str, pipeline: &Json| ["DOC.AGGREGATE".to_owned(), name.to_owned(), pipeline.to_string()].to_vec();
        let requests = [ask(PLAIN[0], &fixed), ask(PLAIN[0], &plain), ask(INDEXED[0], &indexed)];
        let replies = self.client.pipeline(&requests)?;
        let [expected, found, by_index] = replies.as_slice() else { anyhow::bail!("three replies are expected") };
        tally.pipelines += 1;
        if let Value::Error(error) = expected {
            // Which rows a stage fails on depends on what stands before it.
            ensure!(error.starts_with("BADPIPELINE"), "{}: {fixed}: {error}", self.name);
            tally.refused += 1;
            return Ok(());
        }
        for (what, pipeline, found) in [("without an index", &plain, found), ("with indexes", &indexed, by_index)] {
            if found != expected {
                self.fail(what, pipeline, expected, found);
            }
        }
        tally.found += u64::from(!expected.expect_array().is_empty());
        if tally.pipelines.is_multiple_of(CURSOR_EVERY) {
            self.explain(&indexed, tally)?;
            let read = self.read_by_cursor(&indexed)?;
            if read != *expected {
                self.fail("by a cursor", &indexed, expected, &read);
            }
            tally.cursors += 1;
        }
        Ok(())
    }

    /// Counts the plans that are taken, without which nothing would have been compared.
    fn explain(&mut self, pipeline: &Json, tally: &mut Tally) -> Result<()> {
        let reply = self.client.ask(&["DOC.EXPLAIN", "AGGREGATE", INDEXED[0], &pipeline.to_string()])?;
        tally.by_index += u64::from(reply.expect_text().contains("IXSCAN"));
        Ok(())
    }

    /// What a cursor gives while the documents change.
    fn read_by_cursor(&mut self, pipeline: &Json) -> Result<Value> {
        let pipeline = pipeline.to_string();
        let count = self.random.below(4).to_string();
        let mut reply = self.client.ask(&["DOC.AGGREGATE", INDEXED[0], &pipeline, "CURSOR", &count])?;
        let mut rows = Vec::new();
        loop {
            let [Value::Integer(cursor), Value::Array(batch)] = reply.expect_array() else {
                anyhow::bail!("{}: not a cursor: {reply}", self.name);
            };
            rows.extend(batch.iter().cloned());
            if *cursor == 0 {
                return Ok(Value::Array(rows));
            }
            if rows.len() < 12 {
                self.change()?;
            }
            // Whoever reads it may have selected another database.
            let db = if self.random.one_in(4) { "1" } else { "0" };
            let cursor = cursor.to_string();
            let count = (1 + self.random.below(30)).to_string();
            let read = vec!["DOC.CURSOR".to_owned(), "READ".to_owned(), cursor, "COUNT".to_owned(), count];
            let select = |db: &str| vec!["SELECT".to_owned(), db.to_owned()];
            let replies = self.client.pipeline(&[select(db), read, select("0")])?;
            let Some(next @ Value::Array(_)) = replies.into_iter().nth(1) else {
                anyhow::bail!("{}: a cursor cannot be read on: {pipeline}", self.name);
            };
            reply = next;
        }
    }

    fn run(&mut self, pipelines: u64, tally: &mut Tally) -> Result<()> {
        self.prepare()?;
        for _ in 0..pipelines {
            self.compare(tally)?;
        }
        for name in PLAIN.into_iter().chain(INDEXED) {
            self.client.ask(&["DOC.DROP", name])?;
        }
        Ok(())
    }
}

/// A reply as a failure shows it: no line and no list without end.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let lines: Vec<String> = text.lines().take(100).map(|line| line.chars().take(400).collect()).collect();
    lines.join("\n")
}

#[test]
fn the_answer_does_not_depend_on_the_order_of_stages() -> Result<()> {
    let seed = seed();
    let pipelines = setting("VEDDB_PIPELINES", 600);
    let mut random = Random::new(seed);
    // Small budgets, so that cursors outlive checkpoints.
    let server = Options::new().set("maxmemory-cache", "1mb").set("maxmemory-writes", "1mb");
    let server = server.set("appendfsync", "everysec").start()?;
    let mut tally = Tally::default();
    let mut round = 0;
    while tally.pipelines < pipelines {
        let mut random = Random::new(random.number());
        let flavor = Flavor::draw(&mut random);
        let indexes = Index::draw(&mut random, &flavor, 3);
        let (client, name) = (server.client()?, format!("round {round} of seed {seed}"));
        let rest = pipelines - tally.pipelines;
        let mut next = Round { client, random, flavor, indexes, name: name.clone(), next_id: 0 };
        next.run(rest.min(ROUND_PIPELINES), &mut tally).context(name)?;
        round += 1;
    }
    println!("{round} rounds, {tally:?}");
    let Tally { pipelines, found, refused, by_index, cursors } = tally;
    assert!(refused * 4 < pipelines, "{refused} of {pipelines} pipelines were refused");
    assert!(found * 5 > pipelines, "only {found} of {pipelines} pipelines gave rows");
    assert!(by_index * 10 > cursors, "only {by_index} of {cursors} plans took an index");
    Ok(())
}
