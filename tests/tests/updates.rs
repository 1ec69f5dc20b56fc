//! Random updates, projections and changes of one document, of every operator with operands that fit and that do not.
//!
//! Each is answered in time, by an error of the language or by what its reply says of the document: unchanged after an
//! error, a version more when it was modified. `VEDDB_UPDATE_STEPS` (2,000) makes it longer; `VEDDB_SEED` repeats it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Random, Value, seed, setting};

const ANSWER_MAX: Duration = Duration::from_secs(5);

const NAMES: [&str; 6] = ["a", "b", "c", "0", "1", "_id"];
const OPERATORS: [&str; 16] = [
    "$set",
    "$unset",
    "$setOnInsert",
    "$rename",
    "$min",
    "$max",
    "$currentDate",
    "$inc",
    "$mul",
    "$bit",
    "$push",
    "$addToSet",
    "$pull",
    "$pullAll",
    "$pop",
    "$nothing",
];
const SCALARS: [&str; 18] = [
    "0",
    "1",
    "-1",
    "2",
    "1.5",
    "-0.0",
    "9223372036854775807",
    "2147483647",
    r#"{"$numberDouble":"NaN"}"#,
    r#"{"$numberDecimal":"9.999999999999999999999999999999999E+6144"}"#,
    r#"{"$numberLong":"3"}"#,
    "null",
    "true",
    r#""text""#,
    r#"{"$date":"2024-02-29T00:00:00Z"}"#,
    r#"{"$regularExpression":{"pattern":"^t","options":"i"}}"#,
    r#"{"$minKey":1}"#,
    r#"{"$type":"timestamp"}"#,
];

fn value(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 5 } else { 10 }) {
        5..=7 => format!("[{}]", list(random, |random| value(random, depth - 1))),
        8..=9 => object(random, depth - 1),
        _ => (*random.pick(&SCALARS)).to_owned(),
    }
}

fn object(random: &mut Random, depth: usize) -> String {
    let mut members = Vec::new();
    for name in ["a", "b", "c", "0"] {
        if random.one_in(2) {
            members.push(format!(r#""{name}":{}"#, value(random, depth)));
        }
    }
    format!("{{{}}}", members.join(","))
}

fn list(random: &mut Random, mut item: impl FnMut(&mut Random) -> String) -> String {
    (0..random.below(4)).map(|_| item(random)).collect::<Vec<_>>().join(",")
}

fn path(random: &mut Random) -> String {
    let mut path = (*random.pick(&NAMES)).to_owned();
    for _ in 0..random.below(3) {
        let step = match random.below(10) {
            0 => "$",
            1 => "$[]",
            2 => "$[x]",
            3 if random.one_in(8) => "",
            4 if random.one_in(8) => "1600000",
            _ => *random.pick(&NAMES),
        };
        path = format!("{path}.{step}");
    }
    path
}

/// A condition on a value.
fn condition(random: &mut Random) -> String {
    let operand = value(random, 1);
    match random.below(8) {
        0 => format!(r#"{{"$gte":{operand}}}"#),
        1 => format!(r#"{{"$in":[{operand}]}}"#),
        2 => format!(r#"{{"$elemMatch":{{"$ne":{operand}}}}}"#),
        3 => format!(r#"{{"$elemMatch":{{"a":{operand}}}}}"#),
        4 => format!(r#"{{"$not":{{"$lt":{operand}}}}}"#),
        5 => r#"{"$exists":true}"#.to_owned(),
        _ => operand,
    }
}

fn operand(random: &mut Random, operator: &str) -> String {
    if random.one_in(6) {
        return value(random, 2);
    }
    match operator {
        "$rename" => format!(r#""{}""#, path(random)),
        "$inc" | "$mul" => (*random.pick(&SCALARS[..11])).to_owned(),
        "$pop" => (*random.pick(&["1", "-1"])).to_owned(),
        "$currentDate" => "true".to_owned(),
        "$bit" => format!(r#"{{"{}":{}}}"#, random.pick(&["and", "or", "xor"]), random.pick(&["5", "4294967296"])),
        "$pullAll" => format!("[{}]", list(random, |random| value(random, 1))),
        "$pull" => condition(random),
        "$addToSet" => format!(r#"{{"$each":[{}]}}"#, list(random, |random| value(random, 1))),
        "$push" => {
            let mut modifiers = vec![format!(r#""$each":[{}]"#, list(random, |random| value(random, 1)))];
            for (name, choices) in [
                ("$position", ["0", "-1", "99", "1.5"]),
                ("$slice", ["0", "-2", "3", "null"]),
                ("$sort", ["1", "-1", r#"{"a":1,"b.0":-1}"#, "{}"]),
            ] {
                if random.one_in(3) {
                    modifiers.push(format!(r#""{name}":{}"#, random.pick(&choices)));
                }
            }
            format!("{{{}}}", modifiers.join(","))
        }
        _ => value(random, 2),
    }
}

fn operators(random: &mut Random) -> String {
    let mut members = Vec::new();
    for _ in 0..1 + random.below(2) {
        let operator = *random.pick(&OPERATORS);
        let fields: Vec<String> = (0..1 + random.below(2))
            .map(|_| {
                let path = path(random);
                format!(r#""{path}":{}"#, operand(random, operator))
            })
            .collect();
        members.push(format!(r#""{operator}":{{{}}}"#, fields.join(",")));
    }
    format!("{{{}}}", members.join(","))
}

fn expression(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 3 } else { 7 }) {
        0 => value(random, 1),
        1 | 2 => format!(r#""${}""#, path(random)),
        3 => format!(r#"{{"$add":[{},{}]}}"#, expression(random, depth - 1), expression(random, depth - 1)),
        4 => format!(
            r#"{{"$cond":[{},{},{}]}}"#,
            expression(random, depth - 1),
            expression(random, depth - 1),
            expression(random, depth - 1)
        ),
        5 => format!("[{}]", list(random, |random| expression(random, depth - 1))),
        _ => format!(r#"{{"a":{}}}"#, expression(random, depth - 1)),
    }
}

fn pipeline(random: &mut Random) -> String {
    let stage = |random: &mut Random| match random.below(5) {
        0 => format!(r#"{{"$set":{{"{}":{}}}}}"#, path(random), expression(random, 2)),
        1 => format!(r#"{{"$unset":["{}","{}"]}}"#, path(random), path(random)),
        2 => format!(r#"{{"$project":{}}}"#, projection(random)),
        3 => format!(r#"{{"$replaceWith":{}}}"#, expression(random, 2)),
        _ => format!(r#"{{"$replaceRoot":{{"newRoot":{}}}}}"#, expression(random, 2)),
    };
    format!("[{}]", list(random, stage))
}

fn projection(random: &mut Random) -> String {
    let member = |random: &mut Random| {
        let path = path(random);
        let value = match random.below(8) {
            0 | 1 => "1".to_owned(),
            2 => "0".to_owned(),
            3 => format!(r#"{{"$slice":{}}}"#, random.pick(&["1", "-2", "[1,1]", "[-9,2]", "[1,0]"])),
            4 => format!(r#"{{"$elemMatch":{{"a":{}}}}}"#, condition(random)),
            5 => expression(random, 2),
            _ => "true".to_owned(),
        };
        format!(r#""{path}":{value}"#)
    };
    format!("{{{}}}", list(random, member))
}

fn filter(random: &mut Random) -> String {
    match random.below(4) {
        0 => r#"{"_id":"x"}"#.to_owned(),
        1 => "{}".to_owned(),
        2 => format!(r#"{{"{}":{}}}"#, random.pick(&NAMES[..3]), condition(random)),
        _ => format!(r#"{{"_id":"x","{}":{}}}"#, random.pick(&["a", "b", "a.b", "a.0", "b.a"]), condition(random)),
    }
}

fn update(random: &mut Random) -> String {
    match random.below(8) {
        0 => object(random, 2),
        1 | 2 => pipeline(random),
        _ => operators(random),
    }
}

fn command(random: &mut Random) -> Vec<String> {
    let mut words: Vec<String> = match random.below(8) {
        0 => vec!["DOC.FIND".into(), "c".into(), filter(random), "PROJECT".into(), projection(random)],
        1 => vec!["DOC.DISTINCT".into(), "c".into(), path(random), filter(random)],
        2 | 3 => {
            let mut words = vec!["DOC.FINDANDMODIFY".into(), "c".into(), filter(random), update(random)];
            if random.one_in(2) {
                words.extend(["SORT".into(), format!(r#"{{"{}":-1}}"#, random.pick(&NAMES))]);
            }
            if random.one_in(3) {
                words.extend(["PROJECT".into(), projection(random)]);
            }
            if random.one_in(2) {
                words.push("NEW".into());
            }
            words
        }
        4 => {
            let operation = format!(
                r#"[{{"updateMany":{{"filter":{},"update":{},"arrayFilters":[{{"x":{}}}]}}}}]"#,
                filter(random),
                operators(random),
                condition(random)
            );
            return vec!["DOC.BULK".into(), "c".into(), operation];
        }
        _ => vec!["DOC.UPDATE".into(), "c".into(), filter(random), update(random), "ONE".into()],
    };
    if matches!(words[0].as_str(), "DOC.UPDATE" | "DOC.FINDANDMODIFY") {
        if words[3].contains("$[x]") {
            words.extend(["ARRAYFILTERS".into(), format!(r#"[{{"x":{}}}]"#, condition(random))]);
        }
        if random.one_in(6) {
            words.push("UPSERT".into());
        }
    }
    words
}

/// The document and its version.
fn state(client: &mut Client) -> Result<(i64, String)> {
    let reply = client.ask(&["DOC.GET", "c", "x", "WITHVER"])?;
    let parts = reply.expect_array();
    Ok((parts[0].expect_integer(), parts[1].expect_text().to_owned()))
}

#[test]
fn random_updates_keep_what_their_replies_say() -> Result<()> {
    let mut random = Random::new(seed());
    let server = Options::new().start()?;
    let mut client = server.client()?;
    client.set_timeout(ANSWER_MAX * 2)?;
    client.ask(&["IDX.CREATE", "c", "by_a", r#"{"a":1}"#, "SYNC"])?;
    let (mut done, mut refused) = (0, 0);
    for step in 0..setting("VEDDB_UPDATE_STEPS", 2000) {
        // Fresh ones now and then: what an update makes of a document does not grow for ever.
        if step % 5 == 0 {
            client.ask(&["DOC.DELETE", "c", "{}"])?;
            client.ask(&["DOC.SET", "c", "x", &object(&mut random, 3)])?;
            client.ask(&["DOC.SET", "c", "y", &object(&mut random, 2)])?;
        }
        let Ok((version, document)) = state(&mut client).or_else(|_| {
            client.ask(&["DOC.SET", "c", "x", "{}"])?;
            state(&mut client)
        }) else {
            continue;
        };
        let words = command(&mut random);
        let what = || format!("step {step}: {words:?} on {document}");
        let started = Instant::now();
        let reply = client.run(&words).with_context(what)?;
        ensure!(started.elapsed() < ANSWER_MAX, "{} took {:?}", what(), started.elapsed());
        let (version_now, document_now) = state(&mut client).with_context(what)?;
        match &reply {
            Value::Error(message) => {
                let code = message.split(' ').next().unwrap_or_default();
                let known = ["BADUPDATE", "BADFILTER", "BADDOC", "TOOBIG", "DUPKEY"];
                ensure!(known.contains(&code), "{}: {message}", what());
                ensure!(version_now == version && document_now == document, "{} changed it: {document_now}", what());
                refused += 1;
            }
            _ if words[0] == "DOC.UPDATE" && words[2].contains(r#""_id":"x""#) => {
                let modified = reply.get("modified").map_or(0, Value::expect_integer);
                ensure!(version_now == version + modified, "{}: version {version_now}, {reply}", what());
                ensure!(modified > 0 || document_now == document, "{}: {document_now}", what());
                done += 1;
            }
            _ => done += 1,
        }
    }
    println!("{done} done, {refused} refused");
    ensure!(done > 0 && refused > 0, "{done} done, {refused} refused: the generator only makes one kind");
    let verified = client.ask(&["IDX.VERIFY", "c"])?;
    ensure!(verified.get("missing") == Some(&Value::Integer(0)), "{verified}");
    ensure!(verified.get("dangling") == Some(&Value::Integer(0)), "{verified}");
    Ok(())
}
