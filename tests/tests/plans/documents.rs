//! What a round of the plan suite draws: values, documents and indexes.
//!
//! The domains are small, so that queries hit and keys tie; within them is everything that two encodings of a value could
//! disagree about.

use serde_json::{Map, Value as Json, json};
use veddb_tests::Random;

/// The paths of indexes, filters and sorts; those that stand twice are drawn twice as often.
pub(crate) const PATHS: [&str; 16] =
    ["a", "b", "c", "o.x", "o.y", "arr.k", "arr", "a", "b", "c", "o.x", "arr.k", "a", "o", "a.x", "arr.0"];

/// Where arrays may stand.
const ARRAYS: [&str; 6] = ["a", "b", "c", "o", "o.x", "arr"];

/// What one round's documents have in common. Without arrays at some paths no index would be anything but multikey, and
/// without rounds of plain numbers ties in a sort would be rare.
#[derive(Debug)]
pub(crate) struct Flavor {
    arrays: Vec<&'static str>,
    only_numbers: bool,
}

impl Flavor {
    pub(crate) fn draw(random: &mut Random) -> Flavor {
        let few = random.one_in(3);
        let arrays = ARRAYS.into_iter().filter(|_| random.one_in(if few { 6 } else { 2 })).collect();
        Flavor { arrays, only_numbers: random.one_in(4) }
    }

    pub(crate) fn array_at(&self, path: &str) -> bool {
        self.arrays.contains(&path)
    }
}

fn number(random: &mut Random) -> Json {
    let small = random.below(6);
    match random.below(14) {
        0..=6 => json!(small),
        7 => json!(small as f64),
        8 => json!(small as f64 + 0.5),
        9 => json!({"$numberLong": small.to_string()}),
        10 | 11 => {
            let decimals = ["0", "-0", "1", "1.0", "2.50", "3E+0", "0.1", "NaN", "Infinity", "-Infinity", "1E+400"];
            json!({"$numberDecimal": random.pick(&decimals)})
        }
        12 => json!({"$numberDouble": random.pick(&["NaN", "Infinity", "-Infinity", "-0.0", "1.0"])}),
        _ => {
            // On both sides of where doubles stop telling integers apart.
            let edges = [json!(0.1), json!(1e300), json!(9007199254740992.0), json!(9007199254740993_i64)];
            let more = [json!(-1), json!(i64::MAX), json!(i64::MIN), json!(9223372036854775808.0)];
            let all: Vec<Json> = edges.into_iter().chain(more).collect();
            random.pick(&all).clone()
        }
    }
}

fn text(random: &mut Random) -> String {
    const TEXTS: [&str; 16] =
        ["", "a", "ab", "abc", "abd", "ac", "b", "B", "é", "éa", "日本", "a\0", "a\0b", "\0", "\u{10ffff}", "a\u{ff}"];
    if random.one_in(40) {
        // Alike in their first 8 KiB and longer, or at the very edge of that.
        return format!("{}{}", "L".repeat(8188 + random.below(12)), random.below(3));
    }
    (*random.pick(&TEXTS)).to_owned()
}

/// Any value but objects, arrays and regular expressions.
pub(crate) fn scalar(random: &mut Random, flavor: &Flavor) -> Json {
    if flavor.only_numbers {
        return if random.one_in(12) { number(random) } else { json!(random.below(8)) };
    }
    match random.below(24) {
        0..=9 => number(random),
        10..=15 => json!(text(random)),
        16 => Json::Null,
        17 => json!(random.one_in(2)),
        18 => json!({"$date": {"$numberLong": random.pick(&["-1", "0", "1700000000000"])}}),
        19 => json!({"$oid": random.pick(&["000000000000000000000001", "ffffffffffffffffffffffff"])}),
        20 => {
            let bytes = random.pick(&["", "AA==", "AAA=", "AAE=", "/w=="]);
            json!({"$binary": {"base64": bytes, "subType": random.pick(&["00", "05"])}})
        }
        21 => json!({"$timestamp": {"t": random.below(2), "i": random.below(2)}}),
        22 => json!({"$minKey": 1}),
        _ => json!({"$maxKey": 1}),
    }
}

pub(crate) fn object(random: &mut Random, flavor: &Flavor) -> Json {
    let (x, y) = (scalar(random, flavor), scalar(random, flavor));
    match random.below(5) {
        0 => json!({}),
        1 => json!({"x": x}),
        2 => json!({"y": y, "x": x}),
        _ => json!({"x": x, "y": y}),
    }
}

pub(crate) fn array(random: &mut Random, flavor: &Flavor) -> Json {
    let of = |random: &mut Random| scalar(random, flavor);
    match random.below(8) {
        0 => json!([]),
        1 => json!([[of(random), of(random)], of(random)]),
        2 => json!([{"k": of(random)}, {"k": of(random), "x": of(random)}]),
        3 => json!([object(random, flavor), of(random)]),
        _ => Json::Array((0..1 + random.below(3)).map(|_| of(random)).collect()),
    }
}

/// Any value that may be stored at this path; none for a missing one.
pub(crate) fn member(random: &mut Random, flavor: &Flavor, path: &str) -> Option<Json> {
    match random.below(14) {
        0 => None,
        1..=3 if flavor.array_at(path) => Some(array(random, flavor)),
        4 if !flavor.only_numbers => Some(object(random, flavor)),
        5 if !flavor.only_numbers => Some(Json::Null),
        6 if !flavor.only_numbers && random.one_in(4) => {
            Some(json!({"$regularExpression": {"pattern": "^a", "options": ""}}))
        }
        _ => Some(scalar(random, flavor)),
    }
}

/// An object with members at `o.x` and `o.y`.
fn pair(random: &mut Random, flavor: &Flavor) -> Json {
    let mut pair = Map::new();
    for (name, path) in [("x", "o.x"), ("y", "o.y")] {
        if let Some(value) = member(random, flavor, path) {
            pair.insert(name.to_owned(), value);
        }
    }
    Json::Object(pair)
}

/// A document. Its members stand in any order, which no plan may forget.
pub(crate) fn document(random: &mut Random, flavor: &Flavor, id: &str) -> Json {
    let mut members = vec![("_id", Some(json!(id)))];
    for name in ["a", "b", "c"] {
        members.push((name, member(random, flavor, name)));
    }
    let o = match random.below(9) {
        0 => None,
        1 if !flavor.only_numbers => Some(scalar(random, flavor)),
        2 | 3 if flavor.array_at("o") => {
            Some(Json::Array((0..random.below(3)).map(|_| pair(random, flavor)).collect()))
        }
        _ => Some(pair(random, flavor)),
    };
    members.push(("o", o));
    let arr = match random.below(7) {
        0 => None,
        1 if flavor.array_at("arr") => Some(array(random, flavor)),
        2..=4 if flavor.array_at("arr") => {
            Some(Json::Array((0..random.below(4)).map(|_| json!({"k": scalar(random, flavor)})).collect()))
        }
        _ => Some(json!({"k": scalar(random, flavor)})),
    };
    members.push(("arr", arr));
    for at in (1..members.len()).rev() {
        members.swap(at, random.below(at + 1));
    }
    Json::Object(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// An index, and when in the round it is created.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) keys: Vec<(&'static str, i64)>,
    sparse: bool,
    pub(crate) partial: Option<Json>,
    /// Before the documents, between them, after them.
    pub(crate) stage: usize,
}

impl Index {
    /// So many indexes, no two with the same keys.
    pub(crate) fn draw(random: &mut Random, flavor: &Flavor, count: usize) -> Vec<Index> {
        let mut drawn: Vec<Index> = Vec::new();
        while drawn.len() < count {
            let wanted = *random.pick(&[1, 1, 1, 2, 2, 3]);
            let mut keys: Vec<(&str, i64)> = Vec::new();
            while keys.len() < wanted {
                let path = *random.pick(&PATHS);
                if keys.iter().all(|(other, _)| *other != path) {
                    keys.push((path, if random.one_in(3) { -1 } else { 1 }));
                }
            }
            if drawn.iter().any(|other| other.keys == keys) {
                continue;
            }
            let sparse = random.one_in(6);
            let partial = (!sparse && random.one_in(5)).then(|| partial(random, flavor));
            drawn.push(Index { name: format!("i{}", drawn.len()), keys, sparse, partial, stage: random.below(3) });
        }
        drawn
    }

    /// Whether every document is in it.
    pub(crate) fn is_complete(&self) -> bool {
        !self.sparse && self.partial.is_none()
    }

    pub(crate) fn create(&self, collection: &str) -> Vec<String> {
        let keys: Map<String, Json> =
            self.keys.iter().map(|(path, direction)| ((*path).to_owned(), json!(direction))).collect();
        let mut words = vec!["IDX.CREATE".to_owned(), collection.to_owned(), self.name.clone()];
        words.push(Json::Object(keys).to_string());
        if self.sparse {
            words.push("SPARSE".to_owned());
        }
        if let Some(filter) = &self.partial {
            words.extend(["PARTIAL".to_owned(), filter.to_string()]);
        }
        words.push("SYNC".to_owned());
        words
    }
}

fn partial(random: &mut Random, flavor: &Flavor) -> Json {
    let path = *random.pick(&["a", "b", "c", "o.x"]);
    match random.below(5) {
        0 => json!({path: {"$exists": true}}),
        1 => json!({path: {"$type": random.pick(&["number", "string"])}}),
        2 => json!({path: scalar(random, flavor)}),
        3 => json!({path: {"$gte": random.below(3), "$lt": 4 + random.below(4)}}),
        _ => json!({path: {"$gt": random.below(4)}}),
    }
}
