//! What accumulators make of groups, in memory and through files.

use veddb_storage::document::{Object, Value};

use crate::error::ErrorCode;
use crate::pipeline::tests::{Bench, check};

/// Documents, an accumulator, and what it makes of all of them.
fn group(table: &[(&str, &str, &str)]) {
    let stages =
        |accumulator: &str| format!(r#"{{"$group":{{"_id":null,"r":{accumulator}}}}},{{"$project":{{"_id":0}}}}"#);
    let table: Vec<(&str, String, &str)> =
        table.iter().map(|(documents, accumulator, expected)| (*documents, stages(accumulator), *expected)).collect();
    check(&table);
}

#[test]
fn of_one_group() {
    let numbers = r#"[{"v":3},{"v":1},{"v":"x"},{"v":null},{"v":2},{}]"#;
    let named = r#"[{"n":"a","s":2},{"n":"b","s":3},{"n":"c","s":3},{"n":"d","s":[]},{"n":"e"}]"#;
    group(&[
        (numbers, r#"{"$sum":"$v"}"#, r#"{"r":6}"#),
        (numbers, r#"{"$avg":"$v"}"#, r#"{"r":2.0}"#),
        (numbers, r#"{"$stdDevPop":"$v"}"#, r#"{"r":0.816496580927726}"#),
        (numbers, r#"{"$stdDevSamp":"$v"}"#, r#"{"r":1.0}"#),
        (r#"[{"v":1}]"#, r#"{"$stdDevSamp":"$v"}"#, r#"{"r":null}"#),
        (r#"[{"v":"x"}]"#, r#"{"$stdDevPop":"$v"}"#, r#"{"r":null}"#),
        (numbers, r#"{"$median":{"input":"$v","method":"approximate"}}"#, r#"{"r":2.0}"#),
        (numbers, r#"{"$percentile":{"input":"$v","p":[0.9,0.1],"method":"approximate"}}"#, r#"{"r":[3.0,1.0]}"#),
        ("[{}]", r#"{"$percentile":{"input":"$v","p":[0.5],"method":"approximate"}}"#, r#"{"r":[null]}"#),
        (numbers, r#"{"$firstN":{"n":2,"input":"$v"}}"#, r#"{"r":[3,1]}"#),
        (numbers, r#"{"$lastN":{"n":2,"input":"$v"}}"#, r#"{"r":[2,null]}"#),
        (numbers, r#"{"$minN":{"n":2,"input":"$v"}}"#, r#"{"r":[1,2]}"#),
        (numbers, r#"{"$maxN":{"n":2,"input":"$v"}}"#, r#"{"r":["x",3]}"#),
        (named, r#"{"$top":{"sortBy":{"s":-1},"output":"$n"}}"#, r#"{"r":"b"}"#),
        (named, r#"{"$topN":{"n":3,"sortBy":{"s":-1},"output":"$n"}}"#, r#"{"r":["b","c","a"]}"#),
        (named, r#"{"$topN":{"n":3,"sortBy":{"s":1},"output":"$n"}}"#, r#"{"r":["d","e","a"]}"#),
        (named, r#"{"$bottom":{"sortBy":{"s":1,"n":1},"output":["$n","$x"]}}"#, r#"{"r":["c",null]}"#),
        (named, r#"{"$bottomN":{"n":2,"sortBy":{"s":-1},"output":"$n"}}"#, r#"{"r":["e","d"]}"#),
        (r#"[{"v":[1,2]},{},{"v":[2]}]"#, r#"{"$concatArrays":"$v"}"#, r#"{"r":[1,2,2]}"#),
        (r#"[{"v":[1,2]},{},{"v":[2]}]"#, r#"{"$setUnion":"$v"}"#, r#"{"r":[1,2]}"#),
    ]);
}

#[test]
fn what_is_refused() {
    group(&[
        ("[{}]", r#"{"$sum":["$v"]}"#, "error: stage 1: $group: r: $sum: takes one expression"),
        ("[{}]", r#"{"$median":{"input":"$v"}}"#, "error: r: $median: needs method"),
        ("[{}]", r#"{"$median":{"input":"$v","method":"exact"}}"#, "error: method must be"),
        (
            "[{}]",
            r#"{"$percentile":{"input":"$v","p":[2],"method":"approximate"}}"#,
            "error: p must hold numbers from 0 to 1",
        ),
        ("[{}]", r#"{"$firstN":{"n":0,"input":"$v"}}"#, "error: r: $firstN: n must be a whole number"),
        ("[{}]", r#"{"$firstN":{"n":"$v","input":"$v"}}"#, "error: r: $firstN: n must be a whole number"),
        ("[{}]", r#"{"$topN":{"n":1,"output":"$v"}}"#, "error: r: $topN: needs sortBy"),
        ("[{}]", r#"{"$top":{"sortBy":{"a":2},"output":"$v"}}"#, "error: r: $top: sortBy: a needs 1 or -1"),
        ("[{}]", r#"{"$top":{"sortBy":{"a":1},"output":"$v","n":1}}"#, "error: r: $top: unknown member n"),
        (
            r#"[{"v":null}]"#,
            r#"{"$concatArrays":"$v"}"#,
            "error: r: $concatArrays: each value must be an array, not null",
        ),
        (r#"[{"v":1}]"#, r#"{"$setUnion":"$v"}"#, "error: r: $setUnion: each value must be an array"),
        ("[{}]", r#"{"$covariancePop":["$v","$v"]}"#, "error: r: unknown accumulator $covariancePop"),
    ]);
}

#[test]
fn n_may_depend_on_the_group() {
    let stage = r#"{"$group":{"_id":{"k":"$k"},"r":{"$firstN":{"n":{"$cond":[{"$eq":["$k",1]},1,2]},"input":"$v"}}}}"#;
    let documents = r#"[{"k":1,"v":1},{"k":1,"v":2},{"k":2,"v":3},{"k":2,"v":4},{"k":2,"v":5}]"#;
    check(&[(documents, stage, r#"{"_id":{"k":1},"r":[1]} {"_id":{"k":2},"r":[3,4]}"#)]);
}

#[test]
fn merged_objects() {
    let stage = r#"{"$group":{"_id":null,"r":{"$mergeObjects":"$v"}}}"#;
    check(&[(r#"[{"v":{"a":1,"b":2}},{},{"v":{"c":3,"a":4}}]"#, stage, r#"{"_id":null,"r":{"a":4,"b":2,"c":3}}"#)]);
    let mut state = super::collect::merged();
    let object = |text: &str| Some(Value::Object(Object(vec![("a".to_owned(), Value::String(text.to_owned()))])));
    let small = state.add(object("")).unwrap();
    assert_eq!(
        state.add(object(&"x".repeat(1000))).unwrap(),
        super::block(1000),
        "a larger value in the place of a small one"
    );
    assert_eq!(state.add(object(&"x".repeat(900))).unwrap(), 0);
    assert_eq!(state.add(object(&"x".repeat(1100))).unwrap(), super::block(1100) - super::block(1000));
    assert!(small > 0);
}

/// One value at a time takes no more than the largest of them, however often they change.
#[test]
fn values_that_take_turns() {
    let value = |n: usize| format!(r#"{{"n":{n},"v":"{}"}}"#, "x".repeat(if n.is_multiple_of(2) { 2000 } else { 1 }));
    let documents: Vec<String> = (0..2000).map(value).collect();
    let window = r#"{"$setWindowFields":{"sortBy":{"n":1},"output":{"l":{"$last":"$v","window":{"documents":["unbounded","current"]}}}}}"#;
    let pipeline = format!(r#"[{{"$documents":[{}]}},{window},{{"$count":"n"}}]"#, documents.join(","));
    assert_eq!(Bench::new(1 << 20).run(&pipeline).unwrap().0, [r#"{"n":2000}"#]);
}

/// A group is held as a whole, also where its parts came through files.
#[test]
fn a_group_that_does_not_fit() {
    let documents: Vec<String> = (0..4000).map(|n| format!(r#"{{"v":"{n}{}"}}"#, "x".repeat(400))).collect();
    let documents = documents.join(",");
    let all = r#"{"$group":{"_id":null,"r":{"$push":"$v"}}}"#;
    let error = Bench::new(512 << 10).run(&format!(r#"[{{"$documents":[{documents}]}},{all}]"#)).unwrap_err();
    assert_eq!(error.code, ErrorCode::TooBig);
    let each = r#"{"$group":{"_id":"$v","r":{"$push":"$v"}}},{"$count":"n"}"#;
    let (rows, spilled) = Bench::new(512 << 10).run(&format!(r#"[{{"$documents":[{documents}]}},{each}]"#)).unwrap();
    assert_eq!(rows, [r#"{"n":4000}"#]);
    assert!(spilled > 0);
}

/// What is written to files and read back is what it was.
#[test]
fn through_files() {
    let documents: Vec<String> = (0..2400)
        .map(|n: u32| {
            let text = "x".repeat(200);
            format!(r#"{{"g":"{}{text}","v":{},"a":[{},7]}}"#, n % 600, n.wrapping_mul(7919) % 6007, n % 3)
        })
        .collect();
    let accumulators = r#""sum":{"$sum":"$v"},"avg":{"$avg":"$v"},"dev":{"$stdDevSamp":"$v"},"first":{"$firstN":{"n":2,"input":"$v"}},
        "last":{"$lastN":{"n":2,"input":"$v"}},"min":{"$minN":{"n":2,"input":"$v"}},"max":{"$maxN":{"n":3,"input":"$v"}},
        "top":{"$top":{"sortBy":{"v":-1},"output":"$v"}},"bottom":{"$bottomN":{"n":2,"sortBy":{"v":1},"output":"$v"}},
        "median":{"$median":{"input":"$v","method":"approximate"}},"all":{"$concatArrays":"$a"},"set":{"$setUnion":"$a"}"#;
    let round = r#"{"$set":{"dev":{"$round":["$dev",6]}}}"#;
    let pipeline = format!(
        r#"[{{"$documents":[{}]}},{{"$group":{{"_id":"$g",{accumulators}}}}},{round},{{"$sort":{{"_id":1}}}}]"#,
        documents.join(",")
    );
    let (memory, none) = Bench::new(256 << 20).run(&pipeline).unwrap();
    let (files, spilled) = Bench::new(512 << 10).run(&pipeline).unwrap();
    assert!(none == 0 && spilled > 0);
    assert_eq!(memory.len(), 600);
    assert_eq!(memory, files);
}
