//! Random pipelines, and what keeps their stages where they stand.

use serde_json::{Value as Json, json};
use veddb_tests::Random;

use crate::documents::{Flavor, Index, PATHS, scalar};
use crate::queries::{Query, sort};

/// Stands for the name of the collection that is joined.
const FOREIGN: &str = "FOREIGN";

/// Where stages put what they make: beside what is there, over it, and inside it.
const PLACES: [&str; 6] = ["j", "n.m", "a", "o", "o.x", "arr.k"];

/// How deep pipelines stand in pipelines.
const DEPTH: usize = 2;

/// A pipeline.
pub(crate) fn pipeline(random: &mut Random, flavor: &Flavor, indexes: &[Index]) -> Json {
    Json::Array(stages(random, flavor, indexes, 0))
}

/// Every stage in its place.
pub(crate) fn fixed(pipeline: &Json, foreign: &str) -> Json {
    rewritten(pipeline, foreign, true)
}

/// Joined with this collection.
pub(crate) fn joined_with(pipeline: &Json, foreign: &str) -> Json {
    rewritten(pipeline, foreign, false)
}

// As deep as the pipeline.
fn rewritten(value: &Json, foreign: &str, fixes: bool) -> Json {
    match value {
        Json::String(text) if text == FOREIGN => json!(foreign),
        Json::Array(list) => {
            let is_stage = |one: &Json| {
                let name = one.as_object().and_then(|stage| stage.keys().next());
                name.is_some_and(|name| STAGES.contains(&name.as_str()))
            };
            let mut made = Vec::new();
            for one in list {
                // `$match` first of all: at the beginning it is left to the plan.
                if fixes && is_stage(one) {
                    made.push(json!({"$redact": "$$KEEP"}));
                }
                made.push(rewritten(one, foreign, fixes));
            }
            Json::Array(made)
        }
        Json::Object(members) => {
            Json::Object(members.iter().map(|(name, one)| (name.clone(), rewritten(one, foreign, fixes))).collect())
        }
        other => other.clone(),
    }
}

const STAGES: [&str; 15] = [
    "$match",
    "$sort",
    "$limit",
    "$skip",
    "$project",
    "$set",
    "$unset",
    "$unwind",
    "$group",
    "$lookup",
    "$graphLookup",
    "$unionWith",
    "$facet",
    "$replaceWith",
    "$setWindowFields",
];

fn stages(random: &mut Random, flavor: &Flavor, indexes: &[Index], depth: usize) -> Vec<Json> {
    let mut stages = Vec::new();
    // Mostly there is something for an index at the beginning.
    if random.one_in(2) {
        stages.push(matching(random, flavor, indexes));
    }
    if random.one_in(3) {
        stages.push(json!({"$sort": order(random, indexes)}));
        if random.one_in(2) {
            stages.push(json!({"$limit": 1 + random.below(20)}));
        }
    }
    for _ in 0..1 + random.below(3) {
        stage(random, flavor, indexes, depth, &mut stages);
        match random.below(6) {
            0..=2 => stages.push(matching(random, flavor, indexes)),
            3 => stages.push(json!({"$limit": 1 + random.below(20)})),
            _ => {}
        }
    }
    stages
}

fn order(random: &mut Random, indexes: &[Index]) -> Json {
    let guide = random.one_in(2).then(|| random.pick(indexes).clone());
    sort(random, guide.as_ref())
}

fn matching(random: &mut Random, flavor: &Flavor, indexes: &[Index]) -> Json {
    let expression = |random: &mut Random| {
        let path = format!("${}", random.pick(&PATHS));
        let other = json!({"$literal": scalar(random, flavor)});
        if random.one_in(2) { json!({"$eq": [path, other]}) } else { json!({"$eq": [other, path]}) }
    };
    match random.below(8) {
        0 => json!({"$match": {"$expr": expression(random)}}),
        1 => json!({"$match": {"$expr": {"$and": [expression(random), {"$ne": ["$_id", "d3"]}]}}}),
        2 => {
            let place = *random.pick(&PLACES);
            let name = *random.pick(&["", ".a", ".x", ".0", ".0.b", "._id"]);
            let asked = match random.below(4) {
                0 => json!({"$exists": random.one_in(2)}),
                1 => Json::Null,
                2 => json!({"$ne": Json::Null}),
                _ => json!({"$gte": scalar(random, flavor)}),
            };
            json!({"$match": {format!("{place}{name}"): asked}})
        }
        _ => json!({"$match": Query::draw(random, flavor, indexes).filter}),
    }
}

fn expression(random: &mut Random, flavor: &Flavor) -> Json {
    let path = |random: &mut Random| format!("${}", random.pick(&PATHS));
    match random.below(6) {
        0 => json!({"$literal": scalar(random, flavor)}),
        1 => json!([path(random), path(random)]),
        2 => json!({"$ifNull": [path(random), path(random)]}),
        3 => json!({"$cond": [path(random), "$$REMOVE", path(random)]}),
        _ => json!(path(random)),
    }
}

/// One stage, or two that belong together.
fn stage(random: &mut Random, flavor: &Flavor, indexes: &[Index], depth: usize, stages: &mut Vec<Json>) {
    let place = *random.pick(&PLACES);
    let path = *random.pick(&PATHS);
    match random.below(if depth < DEPTH { 19 } else { 14 }) {
        0 | 1 => stages.push(project(random, flavor)),
        2 | 3 => stages.push(json!({"$set": {place: expression(random, flavor)}})),
        4 => stages.push(json!({"$unset": random.pick(&["a", "o.x", "arr.k", "b", "j"])})),
        5..=7 => stages.push(json!({"$unwind": unwind(random, path)})),
        8 => stages.push(json!({"$sort": order(random, indexes)})),
        9 => stages.push(json!({"$skip": random.below(5)})),
        10 => {
            let id = format!("${path}");
            stages.push(json!({"$group": {"_id": id, "a": {"$push": "$_id"}, "b": {"$first": "$b"}}}));
        }
        11 => {
            let made = json!({"_id": "$_id", "a": expression(random, flavor), "o": "$o", "arr": "$$ROOT.arr"});
            stages.push(json!({"$replaceWith": made}));
        }
        12 => {
            let output = json!({place: {"$push": "$a", "window": {"documents": [-1, "current"]}}});
            stages.push(json!({"$setWindowFields": {"sortBy": {"_id": 1}, "output": output}}));
        }
        13 => {
            let (from, to) = (*random.pick(&PATHS), *random.pick(&["_id", "a", "b", "o.x", "arr.k"]));
            stages.push(json!({"$graphLookup": {
                "from": FOREIGN, "startWith": format!("${path}"), "connectFromField": from, "connectToField": to,
                "as": place, "maxDepth": random.below(3),
            }}));
        }
        14..=16 => lookup(random, flavor, indexes, depth, place, stages),
        17 => {
            let pipeline = Json::Array(self::stages(random, flavor, indexes, depth + 1));
            stages.push(json!({"$unionWith": {"coll": FOREIGN, "pipeline": pipeline}}));
        }
        _ => {
            let one = Json::Array(self::stages(random, flavor, indexes, DEPTH));
            let other = Json::Array(self::stages(random, flavor, indexes, DEPTH));
            stages.push(json!({"$facet": {"a": one, "b": other}}));
        }
    }
}

fn unwind(random: &mut Random, path: &str) -> Json {
    let mut unwind = json!({"path": format!("${path}"), "preserveNullAndEmptyArrays": random.one_in(2)});
    if random.one_in(2) {
        unwind["includeArrayIndex"] = json!(random.pick(&PLACES));
    }
    unwind
}

fn project(random: &mut Random, flavor: &Flavor) -> Json {
    const KEPT: [&str; 6] = ["a", "b", "c", "o.x", "arr.k", "arr"];
    let mut members = serde_json::Map::new();
    if random.one_in(2) {
        let keep = random.below(2);
        for _ in 0..1 + random.below(3) {
            let path = *random.pick(&KEPT);
            if !(members.contains_key("arr") || path == "arr" && members.contains_key("arr.k")) {
                members.insert(path.to_owned(), json!(keep));
            }
        }
        if random.one_in(3) {
            members.insert("_id".to_owned(), json!(0));
        }
    } else {
        members.insert("a".to_owned(), expression(random, flavor));
        members.insert(random.pick(&["o", "o.x", "o.y"]).to_string(), json!(1));
        members.insert(random.pick(&["arr", "arr.k", "arr.x"]).to_string(), expression(random, flavor));
    }
    json!({"$project": members})
}

fn lookup(random: &mut Random, flavor: &Flavor, indexes: &[Index], depth: usize, place: &str, stages: &mut Vec<Json>) {
    let mut join = json!({"from": FOREIGN, "as": place});
    let way = random.below(4);
    if way != 0 {
        join["localField"] = json!(random.pick(&PATHS));
        join["foreignField"] = json!(random.pick(&["_id", "a", "b", "c", "o.x", "arr.k", "arr"]));
    }
    if way < 2 {
        let mut inside = self::stages(random, flavor, indexes, depth + 1);
        if random.one_in(2) {
            join["let"] = json!({"v": format!("${}", random.pick(&PATHS))});
            let equal = json!({"$eq": [format!("${}", random.pick(&PATHS)), "$$v"]});
            let first = json!({"$match": {"$expr": equal}});
            // Behind another it may come to stand first.
            let at = random.below(2).min(inside.len());
            inside.insert(at, first);
        }
        join["pipeline"] = Json::Array(inside);
    }
    stages.push(json!({"$lookup": join}));
    if random.one_in(2) {
        stages.push(json!({"$unwind": unwind(random, place)}));
    }
}
