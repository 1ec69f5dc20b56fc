//! Random filters at the parser and the matcher: each is answered or refused with `BADFILTER`, in time, by a server that
//! lives on.
//!
//! `VEDDB_FILTERS` (4,000; by hand 1,000,000) filters over a few hundred documents; `VEDDB_SEED` repeats them. A refused
//! filter says where: its message has the name of an operator or a path.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Map, Value as Json, json};
use veddb_tests::{Options, Random, Value, seed, setting};

/// A debug build on a busy machine needs a tenth of it.
const ANSWER_MAX: Duration = Duration::from_secs(5);

const PATHS: [&str; 16] =
    ["a", "b", "a.b", "a.b.c", "a.0", "a.1.b", "", ".", "a.", "a..b", "_id", "$a", "é", "a.00", "b.0.0.0", "nosuch"];

const FIELD: [&str; 24] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$type",
    "$regex",
    "$options",
    "$mod",
    "$all",
    "$elemMatch",
    "$size",
    "$not",
    "$bitsAllSet",
    "$bitsAllClear",
    "$bitsAnySet",
    "$bitsAnyClear",
    "$expr",
    "$nosuch",
    "b",
];

const TREE: [&str; 8] = ["$and", "$or", "$nor", "$comment", "$expr", "$jsonSchema", "$nosuch", "$eq"];

const KEYWORDS: [&str; 28] = [
    "bsonType",
    "type",
    "enum",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "title",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "additionalItems",
    "required",
    "minProperties",
    "properties",
    "patternProperties",
    "additionalProperties",
    "dependencies",
    "$ref",
];

const PATTERNS: [&str; 40] = [
    "a",
    "^a",
    "a$",
    "(a+)+$",
    "(a|aa)+b",
    "[a-z]*",
    "\\d\\w\\s\\b",
    "(?i)A",
    "(?x) a # b",
    "\\Qa.b\\E",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "a{2",
    "a{2,1}",
    "a{,3}",
    "a{1000000}",
    "(a{500}){500}",
    "a**",
    "a++",
    "(?=a)",
    "(?<=a)",
    "\\1",
    "(?<n>a)",
    "(?P=n)",
    "(?>a)",
    "(*UCP)\\w",
    "(*SKIP)",
    "[[:alpha:]]",
    "[[:nosuch:]]",
    "[a&&b]",
    "[^",
    "\\p{L}",
    "\\p{Nosuch}",
    "\\x{110000}",
    "é\\é",
    "\u{0}",
];

/// Draws values and filters of bounded size.
struct Draw<'r> {
    random: &'r mut Random,
    /// Values that may still be drawn.
    left: usize,
}

impl Draw<'_> {
    fn pick(&mut self, from: &[&'static str]) -> String {
        (*self.random.pick(from)).to_owned()
    }

    fn scalar(&mut self) -> Json {
        let small = self.random.below(7) as i64 - 3;
        match self.random.below(20) {
            0..=5 => json!(small),
            6 => json!(small as f64 + 0.5),
            7 => json!(*self.random.pick(&[i64::MIN, i64::MAX, 1 << 31, 1 << 53])),
            8 => json!({"$numberDecimal": self.pick(&["1", "1.50", "NaN", "-Infinity", "9E+6144", "1E-6176", "2E+1"])}),
            9 => json!({"$numberDouble": self.pick(&["NaN", "Infinity", "-0.0", "1e308"])}),
            10 => json!({"$date": {"$numberLong": self.pick(&["0", "-1", "9223372036854775807"])}}),
            11 => json!({"$oid": "000000000000000000000001"}),
            12 => {
                json!({"$binary": {"base64": self.pick(&["", "AQ==", "/////w=="]), "subType": self.pick(&["00", "02"])}})
            }
            13 => {
                json!({"$regularExpression": {"pattern": self.pick(&PATTERNS), "options": self.pick(&["", "i", "imsx"])}})
            }
            14 => self.random.pick(&[json!({"$minKey": 1}), json!({"$maxKey": 1})]).clone(),
            15 => Json::Null,
            16 => json!(self.random.one_in(2)),
            17 => json!(self.pick(&PATTERNS)),
            _ => json!(self.pick(&["", "a", "b", "string", "number", "int", "imsx", "nosuch"])),
        }
    }

    fn value(&mut self, depth: usize) -> Json {
        self.left = self.left.saturating_sub(1);
        if depth == 0 || self.left == 0 || self.random.one_in(2) {
            return self.scalar();
        }
        match self.random.below(3) {
            0 => (0..self.random.below(5)).map(|_| self.value(depth - 1)).collect(),
            1 => {
                let members =
                    (0..self.random.below(4)).map(|_| (self.pick(&["a", "b", "c", "0"]), self.value(depth - 1)));
                Json::Object(members.collect())
            }
            _ => self.scalar(),
        }
    }

    /// What stands under a path: mostly what an operator wants, sometimes anything.
    fn condition(&mut self, depth: usize) -> Json {
        if depth == 0 || self.left == 0 || self.random.one_in(4) {
            return self.value(depth);
        }
        let mut operators = Map::new();
        for _ in 0..=self.random.below(3) {
            let name = self.pick(&FIELD);
            let operand = self.operand(&name, depth - 1);
            operators.insert(name, operand);
        }
        Json::Object(operators)
    }

    fn operand(&mut self, name: &str, depth: usize) -> Json {
        if self.random.one_in(6) {
            return self.value(depth);
        }
        match name {
            "$in" | "$nin" => (0..self.random.below(6)).map(|_| self.value(depth)).collect(),
            "$all" => (0..self.random.below(4)).map(|_| self.condition(depth)).collect(),
            "$elemMatch" if self.random.one_in(2) => self.filter(depth),
            "$elemMatch" | "$not" => self.condition(depth),
            "$mod" => json!([self.scalar(), self.scalar()]),
            "$regex" => json!(self.pick(&PATTERNS)),
            "$options" => json!(self.pick(&["", "i", "imsx", "g"])),
            "$exists" => json!(self.random.one_in(2)),
            "$size" => json!(self.random.below(4)),
            "$bitsAllSet" | "$bitsAnySet" | "$bitsAllClear" | "$bitsAnyClear" if self.random.one_in(2) => {
                (0..self.random.below(4)).map(|_| self.random.below(70)).collect()
            }
            _ => self.value(depth),
        }
    }

    fn filter(&mut self, depth: usize) -> Json {
        let mut filter = Map::new();
        for _ in 0..self.random.below(4) {
            self.left = self.left.saturating_sub(1);
            if depth > 0 && self.left > 0 && self.random.one_in(4) {
                let name = self.pick(&TREE);
                let operand = match name.as_str() {
                    "$and" | "$or" | "$nor" => (0..self.random.below(4)).map(|_| self.filter(depth - 1)).collect(),
                    "$jsonSchema" => self.schema(depth - 1),
                    "$expr" => json!({self.pick(&["$gt", "$eq", "$add", "$size"]): ["$a", self.value(depth - 1)]}),
                    _ => self.value(depth - 1),
                };
                filter.insert(name, operand);
            } else {
                let path = self.pick(&PATHS);
                let condition = self.condition(depth);
                filter.insert(path, condition);
            }
        }
        Json::Object(filter)
    }

    fn schema(&mut self, depth: usize) -> Json {
        let mut schema = Map::new();
        for _ in 0..self.random.below(4) {
            self.left = self.left.saturating_sub(1);
            let keyword = self.pick(&KEYWORDS);
            let deeper = depth > 0 && self.left > 0 && !self.random.one_in(8);
            let value = match keyword.as_str() {
                "allOf" | "anyOf" | "oneOf" if deeper => {
                    (0..=self.random.below(3)).map(|_| self.schema(depth - 1)).collect()
                }
                "not" | "items" | "additionalItems" | "additionalProperties" if deeper => self.schema(depth - 1),
                "properties" | "patternProperties" | "dependencies" if deeper => {
                    json!({self.pick(&["a", "b", "^a", "("]): self.schema(depth - 1)})
                }
                "required" => json!(["a", self.pick(&["a", "b"])]),
                "enum" => (0..self.random.below(4)).map(|_| self.value(depth)).collect(),
                "pattern" => json!(self.pick(&PATTERNS)),
                "uniqueItems" => json!(true),
                "bsonType" | "type" => json!(self.pick(&["object", "array", "int", "number", "string", "nosuch"])),
                _ => self.value(depth),
            };
            schema.insert(keyword, value);
        }
        Json::Object(schema)
    }
}

#[test]
fn random_filters_are_answered_or_refused() -> Result<()> {
    let seed = seed();
    let filters = setting("VEDDB_FILTERS", 4_000);
    let mut random = Random::new(seed);
    let server = Options::new().start()?;
    let mut client = server.client()?;
    for _ in 0..300 {
        let mut draw = Draw { random: &mut random, left: 60 };
        let document = json!({"a": draw.value(5), "b": draw.value(3)});
        client.ask(&["DOC.INSERT", "c", &document.to_string()])?;
    }
    client.ask(&["IDX.CREATE", "c", "by_a", r#"{"a":1}"#])?;
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    for round in 0..filters {
        let mut draw = Draw { random: &mut random, left: 60 };
        let filter = draw.filter(5).to_string();
        // Sometimes cut or with a byte changed: no JSON, or another filter.
        let mut bytes = filter.clone().into_bytes();
        if random.one_in(10) {
            let at = random.below(bytes.len());
            if random.one_in(2) { bytes.truncate(at) } else { bytes[at] = random.number() as u8 }
        }
        let asked = Instant::now();
        let reply = client.run(&[b"DOC.COUNT".as_slice(), b"c", &bytes])?;
        slowest = slowest.max(asked.elapsed());
        assert!(asked.elapsed() < ANSWER_MAX, "round {round}: {filter} took {:?}", asked.elapsed());
        match reply {
            Value::Integer(_) => answered += 1,
            Value::Error(message) => {
                assert!(message.starts_with("BADFILTER "), "round {round}: {filter}: {message}");
                let places = message.contains('$') || message.contains("JSON") || message.contains("at ");
                assert!(places || message.contains("array indexes"), "round {round}: {filter}: {message}");
            }
            other => panic!("round {round}: {filter}: {other:?}"),
        }
    }
    println!("{answered} of {filters} answered, the slowest in {slowest:?}");
    assert!(answered > filters / 10, "only {answered} of {filters} filters could be asked");
    client.ask(&["PING"])?;
    Ok(())
}
