//! `$setWindowFields` on tables of documents, and against a plain model.

use crate::pipeline::tests::{Bench, check};

const FIVE: &str = r#"[{"n":1,"v":1},{"n":2,"v":2},{"n":4,"v":4},{"n":4,"v":8},{"n":9,"v":16}]"#;

/// A function, perhaps with a window, over [`FIVE`] in the order of `n`, and what it gives.
fn over_five(table: &[(&str, &str)]) {
    let stages = |function: &str| {
        let window = format!(r#"{{"$setWindowFields":{{"sortBy":{{"n":1}},"output":{{"r":{function}}}}}}}"#);
        format!(r#"{window},{{"$group":{{"_id":null,"r":{{"$push":"$r"}}}}}},{{"$replaceWith":{{"r":"$r"}}}}"#)
    };
    let table: Vec<(&str, String, &str)> =
        table.iter().map(|(function, expected)| (FIVE, stages(function), *expected)).collect();
    check(&table);
}

#[test]
fn windows() {
    over_five(&[
        (r#"{"$sum":"$v"}"#, r#"{"r":[31,31,31,31,31]}"#),
        (r#"{"$sum":"$v","window":{}}"#, r#"{"r":[31,31,31,31,31]}"#),
        (r#"{"$sum":"$v","window":{"documents":["unbounded","current"]}}"#, r#"{"r":[1,3,7,15,31]}"#),
        (r#"{"$sum":"$v","window":{"documents":["current","unbounded"]}}"#, r#"{"r":[31,30,28,24,16]}"#),
        (r#"{"$sum":"$v","window":{"documents":[-1,1]}}"#, r#"{"r":[3,7,14,28,24]}"#),
        (r#"{"$sum":"$v","window":{"documents":[-3,-2]}}"#, r#"{"r":[0,0,1,3,6]}"#),
        (r#"{"$sum":"$v","window":{"documents":[2,3]}}"#, r#"{"r":[12,24,16,0,0]}"#),
        (r#"{"$sum":"$v","window":{"documents":[100,200]}}"#, r#"{"r":[0,0,0,0,0]}"#),
        (r#"{"$sum":"$v","window":{"documents":["unbounded",1]}}"#, r#"{"r":[3,7,15,31,31]}"#),
        (r#"{"$sum":"$v","window":{"range":[-2,0]}}"#, r#"{"r":[1,3,14,14,16]}"#),
        (r#"{"$sum":"$v","window":{"range":["current","current"]}}"#, r#"{"r":[1,2,12,12,16]}"#),
        (r#"{"$sum":"$v","window":{"range":["unbounded","current"]}}"#, r#"{"r":[1,3,15,15,31]}"#),
        (r#"{"$sum":"$v","window":{"range":[0.5,5]}}"#, r#"{"r":[14,12,16,16,0]}"#),
        (r#"{"$max":"$v","window":{"documents":[-1,0]}}"#, r#"{"r":[1,2,4,8,16]}"#),
        (r#"{"$push":"$v","window":{"documents":[-1,0]}}"#, r#"{"r":[[1],[1,2],[2,4],[4,8],[8,16]]}"#),
        (r#"{"$first":"$v","window":{"documents":[-3,-1]}}"#, r#"{"r":[null,1,1,1,2]}"#),
        (r#"{"$avg":"$v","window":{"documents":[1,2]}}"#, r#"{"r":[3.0,6.0,12.0,16.0,null]}"#),
        (r#"{"$stdDevPop":"$v","window":{"documents":[-1,0]}}"#, r#"{"r":[0.0,0.5,1.0,2.0,4.0]}"#),
        (r#"{"$minN":{"n":1,"input":"$v"},"window":{"documents":[0,1]}}"#, r#"{"r":[[1],[2],[4],[8],[16]]}"#),
        (r#"{"$top":{"sortBy":{"v":-1},"output":"$n"},"window":{"documents":[-1,1]}}"#, r#"{"r":[2,4,4,9,9]}"#),
        (r#"{"$count":{},"window":{"range":[-1,1]}}"#, r#"{"r":[2,2,2,2,1]}"#),
    ]);
}

#[test]
fn functions() {
    over_five(&[
        (r#"{"$rank":{}}"#, r#"{"r":[1,2,3,3,5]}"#),
        (r#"{"$denseRank":{}}"#, r#"{"r":[1,2,3,3,4]}"#),
        (r#"{"$documentNumber":{}}"#, r#"{"r":[1,2,3,4,5]}"#),
        (r#"{"$shift":{"output":"$v","by":-1}}"#, r#"{"r":[null,1,2,4,8]}"#),
        (r#"{"$shift":{"output":"$v","by":2,"default":"x"}}"#, r#"{"r":[4,8,16,"x","x"]}"#),
        (r#"{"$shift":{"output":"$v","by":0}}"#, r#"{"r":[1,2,4,8,16]}"#),
        (r#"{"$expMovingAvg":{"input":"$v","alpha":0.5}}"#, r#"{"r":[1,1.5,2.75,5.375,10.6875]}"#),
        (r#"{"$expMovingAvg":{"input":"$v","N":3}}"#, r#"{"r":[1,1.5,2.75,5.375,10.6875]}"#),
        (r#"{"$derivative":{"input":"$v"},"window":{"documents":[-1,0]}}"#, r#"{"r":[null,1.0,1.0,null,1.6]}"#),
        (
            r#"{"$integral":{"input":"$v"},"window":{"documents":["unbounded","current"]}}"#,
            r#"{"r":[0,1.5,7.5,7.5,67.5]}"#,
        ),
        (r#"{"$integral":{"input":"$v"},"window":{"documents":[-1,0]}}"#, r#"{"r":[0,1.5,6.0,0.0,60.0]}"#),
        (r#"{"$locf":{"$cond":[{"$gt":["$v",3]},null,"$v"]}}"#, r#"{"r":[1,2,2,2,2]}"#),
        (
            r#"{"$covariancePop":["$n","$v"],"window":{"documents":["unbounded",1]}}"#,
            r#"{"r":[0.25,1.5555555555555554,2.9375,14.6,14.6]}"#,
        ),
        (r#"{"$covarianceSamp":["$v",1],"window":{"documents":[-1,0]}}"#, r#"{"r":[null,0.0,0.0,0.0,0.0]}"#),
        (r#"{"$covariancePop":"$v"}"#, r#"{"r":[null,null,null,null,null]}"#),
    ]);
}

#[test]
fn what_is_refused() {
    over_five(&[
        (r#"{"$sum":"$v","window":{"documents":[1,-1]}}"#, "error: output: r: window: the lower bound is above"),
        (r#"{"$sum":"$v","window":{"documents":[0.5,1]}}"#, "error: documents: needs whole numbers"),
        (r#"{"$sum":"$v","window":{"documents":[1]}}"#, "error: two bounds"),
        (r#"{"$sum":"$v","window":{"range":[1,2],"unit":"eon"}}"#, "error: unknown unit"),
        (r#"{"$sum":"$v","window":{"range":[1,2],"unit":"day"}}"#, "error: range: sortBy must be a date"),
        (r#"{"$sum":"$v","window":{"documents":[1,2],"range":[1,2]}}"#, "error: either documents or range"),
        (r#"{"$sum":"$v","more":1}"#, "error: unknown member more"),
        (r#"{"$sum":"$v","$avg":"$v"}"#, "error: there is a function already"),
        (r#"{"$mean":"$v"}"#, "error: unknown function $mean"),
        (r#"{"$rank":{},"window":{"documents":[0,0]}}"#, "error: $rank: takes no window"),
        (r#"{"$rank":1}"#, "error: $rank: takes an empty object"),
        (r#"{"$derivative":{"input":"$v"}}"#, "error: $derivative: needs a window"),
        (r#"{"$derivative":{"input":"$v","unit":"month"},"window":{}}"#, "error: unit must be of one length"),
        (r#"{"$linearFill":"$v"}"#, "error: no two rows"),
        (r#"{"$expMovingAvg":{"input":"$v","N":0}}"#, "error: N must be"),
        (r#"{"$shift":{"output":"$v","by":1,"default":"$v"}}"#, "error: default must be constant"),
    ]);
    check(&[
        (
            r#"[{"a":[1],"b":[2]}]"#,
            r#"{"$setWindowFields":{"sortBy":{"a":1,"b":1},"output":{"r":{"$sum":1}}}}"#,
            "error: sortBy: cannot sort by parallel arrays: at most one of a, b may be an array",
        ),
        (
            "[]",
            r#"{"$setWindowFields":{"output":{"r":{"$sum":1,"window":{"documents":[-1,0]}}}}}"#,
            "error: needs a sortBy",
        ),
        ("[]", r#"{"$setWindowFields":{"output":{"r":{"$rank":{}}}}}"#, "error: $rank: needs a sortBy"),
        (
            "[]",
            r#"{"$setWindowFields":{"sortBy":{"a":-1},"output":{"r":{"$sum":1,"window":{"range":[-1,0]}}}}}"#,
            "error: one ascending",
        ),
        (
            r#"[{"p":[1]}]"#,
            r#"{"$setWindowFields":{"partitionBy":"$p","output":{"r":{"$sum":1}}}}"#,
            "error: must not be an array",
        ),
        ("[]", r#"{"$setWindowFields":{"output":{"a":{"$sum":1},"a.b":{"$sum":1}}}}"#, "error: output"),
    ]);
}

#[test]
fn partitions_dates_and_paths() {
    let day = |day: u32| format!(r#"{{"$date":"2024-01-{day:02}T00:00:00Z"}}"#);
    let documents = format!(
        r#"[{{"p":"b","d":{},"v":1}},{{"p":"a","d":{},"v":2}},{{"p":"a","d":{},"v":4}},{{"d":{},"v":8}},{{"p":null,"d":{},"v":16}}]"#,
        day(1),
        day(5),
        day(4),
        day(2),
        day(30),
    );
    let stage = |output: &str| {
        format!(
            r#"{{"$setWindowFields":{{"partitionBy":"$p","sortBy":{{"d":1}},"output":{{{output}}}}}}},{{"$project":{{"d":0,"p":0}}}}"#
        )
    };
    let table = [
        (
            r#""s.a":{"$sum":"$v","window":{"range":[-1,0],"unit":"day"}},"n":{"$documentNumber":{}}"#,
            r#"{"v":8,"s":{"a":8},"n":1} {"v":16,"s":{"a":16},"n":2} {"v":4,"s":{"a":4},"n":1} {"v":2,"s":{"a":6},"n":2} {"v":1,"s":{"a":1},"n":1}"#,
        ),
        (
            r#""v":{"$sum":"$v","window":{"range":[-1,0],"unit":"month"}}"#,
            r#"{"v":8} {"v":24} {"v":4} {"v":6} {"v":1}"#,
        ),
        (
            r#""v":{"$derivative":{"input":"$v","unit":"week"},"window":{"documents":[-1,0]}}"#,
            r#"{"v":null} {"v":2.0} {"v":null} {"v":-14.0} {"v":null}"#,
        ),
    ];
    check(&table.map(|(output, expected)| (documents.as_str(), stage(output), expected)));
    check(&[(
        r#"[{"t":1,"v":1},{"t":2},{"t":4,"v":7},{"t":5}]"#,
        r#"{"$setWindowFields":{"sortBy":{"t":1},"output":{"v":{"$linearFill":"$v"}}}}"#,
        r#"{"t":1,"v":1} {"t":2,"v":3.0} {"t":4,"v":7} {"t":5,"v":null}"#,
    )]);
}

/// Many rows, in memory and through files, against sums that are worked out here.
#[test]
fn against_a_model() {
    let value = |n: i64| n * 7919 % 101 - 50;
    let count: i64 = 1500;
    let documents: Vec<String> = (0..count)
        .map(|n| format!(r#"{{"n":{},"v":{},"t":"{}"}}"#, count - 1 - n, value(count - 1 - n), "y".repeat(1000)))
        .collect();
    let windows: [(&str, i64, i64); 5] = [
        (r#"["unbounded","unbounded"]"#, -count, count),
        (r#"["unbounded","current"]"#, -count, 0),
        ("[-20,7]", -20, 7),
        (r#"["current","unbounded"]"#, 0, count),
        ("[3,40]", 3, 40),
    ];
    for (bounds, lower, upper) in windows {
        for kind in ["documents", "range"] {
            let pipeline = format!(
                r#"[{{"$documents":[{}]}},{{"$setWindowFields":{{"sortBy":{{"n":1}},"output":{{
                "s":{{"$sum":"$v","window":{{"{kind}":{bounds}}}}},"a":{{"$stdDevPop":{{"$literal":3}},"window":{{"{kind}":{bounds}}}}}}}}}}},
                {{"$project":{{"s":1}}}}]"#,
                documents.join(",")
            );
            let expected: Vec<String> = (0..count)
                .map(|n| {
                    let inside = (n + lower).max(0)..(n + upper + 1).min(count);
                    format!(r#"{{"s":{}}}"#, inside.map(value).sum::<i64>())
                })
                .collect();
            let (memory, none) = Bench::new(256 << 20).run(&pipeline).unwrap();
            let (files, spilled) =
                Bench::new(1 << 20).run(&pipeline).unwrap_or_else(|error| panic!("{}", error.message));
            assert_eq!(none, 0);
            assert!(spilled > 0, "{kind} {bounds}");
            for (way, rows) in [("memory", memory), ("files", files)] {
                assert_eq!(rows.len(), expected.len());
                let wrong = rows.iter().zip(&expected).find(|(row, expected)| row != expected);
                assert!(wrong.is_none(), "{kind} {bounds} in {way}: {wrong:?}");
            }
        }
    }
}

/// What a function holds of each row is counted, and too much of it refused.
#[test]
fn too_large_a_partition() {
    let documents: Vec<String> = (0..10_000).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    let run = |function: &str, memory: usize| {
        let stage = format!(r#"{{"$setWindowFields":{{"sortBy":{{"n":1}},"output":{{"r":{function}}}}}}}"#);
        Bench::new(memory).run(&format!(r#"[{{"$documents":[{}]}},{stage},{{"$count":"n"}}]"#, documents.join(",")))
    };
    let error = run(r#"{"$sum":"$n","window":{"documents":[-1,1]}}"#, 300 << 10).unwrap_err();
    assert!(error.message.contains("query-memory-limit"), "{}", error.message);
    for function in [r#"{"$sum":"$n"}"#, r#"{"$rank":{}}"#, r#"{"$shift":{"output":"$n","by":-1}}"#] {
        assert_eq!(run(function, 300 << 10).unwrap().0, [r#"{"n":10000}"#], "{function}");
    }
}
