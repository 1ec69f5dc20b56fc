//! Random queries of the plan suite: filters, sorts, projections.
//!
//! Half of them follow an index of the round, so that there is a plan to choose; the other half knows nothing of it.

use serde_json::{Map, Value as Json, json};
use veddb_tests::Random;

use crate::documents::{Flavor, Index, PATHS, array, object, scalar};

/// DOC.FIND's arguments after the collection.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) filter: Json,
    options: Vec<String>,
}

impl Query {
    pub(crate) fn draw(random: &mut Random, flavor: &Flavor, indexes: &[Index]) -> Query {
        let guide = random.one_in(2).then(|| random.pick(indexes).clone());
        let filter = filter(random, flavor, guide.as_ref());
        let mut options = Vec::new();
        if random.one_in(2) {
            options.extend(["SORT".to_owned(), sort(random, guide.as_ref()).to_string()]);
        }
        if random.one_in(3) {
            options.extend(["PROJECT".to_owned(), project(random, guide.as_ref()).to_string()]);
        }
        if random.one_in(5) {
            options.extend(["SKIP".to_owned(), random.below(12).to_string()]);
        }
        if random.one_in(4) {
            options.extend(["LIMIT".to_owned(), (1 + random.below(15)).to_string()]);
        }
        if random.one_in(12) {
            options.push("WITHVER".to_owned());
        }
        Query { filter, options }
    }

    /// The request; `hint` names the index to take.
    pub(crate) fn find(&self, collection: &str, hint: Option<&str>) -> Vec<String> {
        let mut words = vec!["DOC.FIND".to_owned(), collection.to_owned(), self.filter.to_string()];
        words.extend(self.options.iter().cloned());
        words.extend(hint.into_iter().flat_map(|index| ["HINT".to_owned(), index.to_owned()]));
        words
    }

    pub(crate) fn count(&self, collection: &str) -> Vec<String> {
        vec!["DOC.COUNT".to_owned(), collection.to_owned(), self.filter.to_string()]
    }
}

fn constant(random: &mut Random, flavor: &Flavor) -> Json {
    match random.below(12) {
        0 => array(random, flavor),
        1 => object(random, flavor),
        _ => scalar(random, flavor),
    }
}

fn constants(random: &mut Random, flavor: &Flavor, most: usize) -> Vec<Json> {
    (0..1 + random.below(most)).map(|_| constant(random, flavor)).collect()
}

fn pattern(random: &mut Random) -> String {
    const PATTERNS: [&str; 14] =
        ["^a", "^ab", "^ab?", "^(a|b)", "^L", "b", "c$", "^$", "^.", "^é", "^a\\x00", "(?i)^b", "a|^b", "^a|^é"];
    (*random.pick(&PATTERNS)).to_owned()
}

fn range(random: &mut Random, flavor: &Flavor) -> Json {
    let low = *random.pick(&["$gt", "$gte"]);
    let high = *random.pick(&["$lt", "$lte"]);
    let (from, to) = (constant(random, flavor), constant(random, flavor));
    match random.below(4) {
        0 => json!({low: from}),
        1 => json!({high: to}),
        2 => json!({low: random.below(4), high: 2 + random.below(5)}),
        _ => json!({low: from, high: to}),
    }
}

/// An object of operators.
fn operators(random: &mut Random, flavor: &Flavor, depth: usize) -> Json {
    match random.below(if depth == 0 { 18 } else { 11 }) {
        0 => json!({"$eq": constant(random, flavor)}),
        1..=4 => range(random, flavor),
        5 => json!({"$in": constants(random, flavor, 4)}),
        6 => {
            let mut list = constants(random, flavor, 2);
            list.push(Json::Null);
            if random.one_in(2) {
                list.push(json!({"$regularExpression": {"pattern": pattern(random), "options": ""}}));
            }
            json!({"$in": list})
        }
        7 => json!({"$exists": random.one_in(2)}),
        8 => match random.below(4) {
            0 => json!({"$regex": pattern(random), "$options": "i"}),
            _ => json!({"$regex": pattern(random)}),
        },
        9 => {
            let names = [
                "string",
                "number",
                "int",
                "double",
                "long",
                "decimal",
                "null",
                "array",
                "object",
                "date",
                "objectId",
                "binData",
                "bool",
                "minKey",
                "maxKey",
                "regex",
                "timestamp",
            ];
            json!({"$type": random.pick(&names)})
        }
        10 => json!({"$mod": [2, random.below(2)]}),
        11 => json!({"$ne": constant(random, flavor)}),
        12 => json!({"$nin": constants(random, flavor, 3)}),
        13 => json!({"$not": operators(random, flavor, depth + 1)}),
        14 | 15 => elem_match(random, flavor, depth),
        16 => {
            let mut list = constants(random, flavor, 2);
            if random.one_in(5) {
                list = vec![elem_match(random, flavor, depth)];
            }
            json!({"$all": list})
        }
        _ => json!({"$size": random.below(4)}),
    }
}

fn elem_match(random: &mut Random, flavor: &Flavor, depth: usize) -> Json {
    if random.one_in(2) {
        return json!({"$elemMatch": operators(random, flavor, depth + 1)});
    }
    let name = *random.pick(&["k", "k", "x", "y"]);
    let mut inside = Map::new();
    inside.insert(name.to_owned(), condition(random, flavor, depth + 1));
    if random.one_in(3) {
        inside.insert("x".to_owned(), condition(random, flavor, depth + 1));
    }
    json!({"$elemMatch": inside})
}

/// What stands under a path.
fn condition(random: &mut Random, flavor: &Flavor, depth: usize) -> Json {
    if random.one_in(3) { constant(random, flavor) } else { operators(random, flavor, depth) }
}

/// Predicates that must all hold.
fn conjunction(random: &mut Random, flavor: &Flavor, guide: Option<&Index>) -> Map<String, Json> {
    let mut predicates = Map::new();
    if let Some(index) = guide {
        let prefix = 1 + random.below(index.keys.len());
        for (at, (path, _)) in index.keys.iter().take(prefix).enumerate() {
            // Equalities before a range are what compound keys are for.
            let equal = at + 1 < prefix && !random.one_in(4);
            let asked = if equal { scalar(random, flavor) } else { condition(random, flavor, 0) };
            predicates.insert((*path).to_owned(), asked);
        }
        if let Some(partial) = index.partial.as_ref().filter(|_| !random.one_in(4)) {
            predicates.insert("$and".to_owned(), json!([partial]));
        }
    }
    let more = if guide.is_some() { random.below(2) } else { 1 + random.below(3) };
    for _ in 0..more {
        let path = *random.pick(&PATHS);
        if !predicates.contains_key(path) {
            predicates.insert(path.to_owned(), condition(random, flavor, 0));
        }
    }
    if random.one_in(25) {
        predicates.insert("_id".to_owned(), json!({"$in": ["d1", "d7", "d20", "d33", "d5"]}));
    }
    predicates
}

fn filter(random: &mut Random, flavor: &Flavor, guide: Option<&Index>) -> Json {
    let branches = |random: &mut Random| {
        let count = 1 + random.below(3);
        let branch = |random: &mut Random| {
            // A branch that does not follow the index is what keeps it from answering alone.
            let guide = guide.filter(|_| !random.one_in(4));
            Json::Object(conjunction(random, flavor, guide))
        };
        Json::Array((0..count).map(|_| branch(random)).collect())
    };
    match random.below(12) {
        0 => json!({}),
        1 | 2 => json!({"$or": branches(random)}),
        3 => {
            let mut predicates = conjunction(random, flavor, guide);
            predicates.insert("$or".to_owned(), branches(random));
            Json::Object(predicates)
        }
        4 => {
            // Two conditions at one path: with an array, two elements may answer for them.
            let path = guide.map_or_else(|| *random.pick(&PATHS), |index| index.keys[0].0);
            let (one, other) = (condition(random, flavor, 0), condition(random, flavor, 0));
            json!({"$and": [{path: one}, {path: other}]})
        }
        5 if random.one_in(2) => json!({"$nor": branches(random)}),
        _ => Json::Object(conjunction(random, flavor, guide)),
    }
}

pub(crate) fn sort(random: &mut Random, guide: Option<&Index>) -> Json {
    let mut keys = Map::new();
    if let Some(index) = guide.filter(|_| !random.one_in(3)) {
        let turned = if random.one_in(2) { -1 } else { 1 };
        // After an equality on its first key an index is also in the order of the others.
        let skipped = random.below(index.keys.len());
        for (path, direction) in index.keys.iter().skip(if random.one_in(3) { skipped } else { 0 }) {
            keys.insert((*path).to_owned(), json!(direction * turned));
        }
    }
    if keys.is_empty() || random.one_in(6) {
        for _ in 0..1 + random.below(3) {
            let path = *random.pick(&PATHS);
            keys.entry(path).or_insert(json!(if random.one_in(2) { -1 } else { 1 }));
        }
    }
    if random.one_in(15) {
        keys.entry("_id").or_insert(json!(1));
    }
    Json::Object(keys)
}

fn project(random: &mut Random, guide: Option<&Index>) -> Json {
    let keep = i32::from(!random.one_in(4));
    let paths: Vec<&str> = match guide.filter(|_| !random.one_in(5)) {
        Some(index) => index.keys.iter().map(|(path, _)| *path).collect(),
        None => (0..1 + random.below(3)).map(|_| *random.pick(&PATHS)).collect(),
    };
    let mut members = Map::new();
    for path in paths {
        // A path and what is below it cannot both be named.
        let clash = |other: &String| other.starts_with(&format!("{path}.")) || path.starts_with(&format!("{other}."));
        if !members.keys().any(clash) {
            members.insert(path.to_owned(), json!(keep));
        }
    }
    if !random.one_in(4) {
        members.insert("_id".to_owned(), json!(0));
    }
    Json::Object(members)
}
