//! Where others go wrong with updates: positional paths, array filters, places that collide, edges of arrays.

use super::tests::apply_with;
use crate::error::ErrorCode;

/// Filter, array filters, document, update, and what comes out: a document, empty for "unchanged", or the error's message.
type Case<'c> = (&'c str, Option<&'c str>, &'c str, &'c str, Result<&'c str, &'c str>);

fn check(cases: &[Case<'_>]) {
    for (filter, filters, document, update, expected) in cases {
        let with_id = |text: &str| text.replacen('{', r#"{"_id":1,"#, 1).replace(",}", "}");
        let got = apply_with(filter, *filters, &with_id(document), update);
        match (got, expected) {
            (Ok(got), Ok(wanted)) => {
                let wanted = (!wanted.is_empty()).then(|| with_id(wanted));
                assert_eq!(got, wanted, "{update} on {document}");
            }
            (Err(error), Err(message)) => {
                assert_eq!((error.code, &*error.message), (ErrorCode::BadUpdate, *message), "{update} on {document}");
            }
            (got, _) => panic!("{update} on {document}: {got:?}"),
        }
    }
}

#[test]
fn the_positional_operator() {
    check(&[
        (r#"{"a":2}"#, None, r#"{"a":[1,2,2]}"#, r#"{"$set":{"a.$":9}}"#, Ok(r#"{"a":[1,9,2]}"#)),
        (
            r#"{"a.b":2}"#,
            None,
            r#"{"a":[{"b":1},{"b":2}]}"#,
            r#"{"$inc":{"a.$.b":5,"a.$.c":1}}"#,
            Ok(r#"{"a":[{"b":1},{"b":7,"c":1}]}"#),
        ),
        (
            r#"{"a":{"$elemMatch":{"b":2,"c":1}}}"#,
            None,
            r#"{"a":[{"b":2},{"b":2,"c":1}]}"#,
            r#"{"$unset":{"a.$":1}}"#,
            Ok(r#"{"a":[{"b":2},null]}"#),
        ),
        // The index comes from another array where the filter does not speak of this one.
        (r#"{"b":2}"#, None, r#"{"a":[1,1],"b":[1,2]}"#, r#"{"$set":{"a.$":9}}"#, Ok(r#"{"a":[1,9],"b":[1,2]}"#)),
        (
            r#"{"b":1}"#,
            None,
            r#"{"a":[1],"b":1}"#,
            r#"{"$set":{"a.$":9}}"#,
            Err("$set at a.$: the filter matched no element of an array for $"),
        ),
        (
            "{}",
            None,
            r#"{"a":[1]}"#,
            r#"{"$set":{"a.$":9}}"#,
            Err("$set at a.$: the filter matched no element of an array for $"),
        ),
        (
            r#"{"a":1}"#,
            None,
            r#"{"a":[1]}"#,
            r#"{"$set":{"a.$":9,"a.0":8}}"#,
            Err("$set at a.0: conflicts with $set at a.$"),
        ),
    ]);
}

#[test]
fn all_elements_and_filtered_elements() {
    check(&[
        ("{}", None, r#"{"a":[1,2]}"#, r#"{"$inc":{"a.$[]":10}}"#, Ok(r#"{"a":[11,12]}"#)),
        ("{}", None, r#"{"a":[]}"#, r#"{"$inc":{"a.$[]":10}}"#, Ok("")),
        (
            "{}",
            None,
            r#"{"a":[{"b":[1]},{"b":[2,3]}]}"#,
            r#"{"$mul":{"a.$[].b.$[]":2}}"#,
            Ok(r#"{"a":[{"b":[2]},{"b":[4,6]}]}"#),
        ),
        ("{}", Some(r#"[{"x":{"$gte":2}}]"#), r#"{"a":[1,2,3]}"#, r#"{"$set":{"a.$[x]":0}}"#, Ok(r#"{"a":[1,0,0]}"#)),
        (
            "{}",
            Some(r#"[{"$or":[{"x.b":1},{"x.c":1}]}]"#),
            r#"{"a":[{"b":1},{"c":1},{"d":1}]}"#,
            r#"{"$set":{"a.$[x].e":1}}"#,
            Ok(r#"{"a":[{"b":1,"e":1},{"c":1,"e":1},{"d":1}]}"#),
        ),
        // Two filters may select one element, for changes that do not meet.
        (
            "{}",
            Some(r#"[{"x.b":1},{"y.c":1}]"#),
            r#"{"a":[{"b":1,"c":1}]}"#,
            r#"{"$set":{"a.$[x].d":1,"a.$[y].e":1}}"#,
            Ok(r#"{"a":[{"b":1,"c":1,"d":1,"e":1}]}"#),
        ),
        (
            "{}",
            Some(r#"[{"x.b":1},{"y.c":1}]"#),
            r#"{"a":[{"b":1,"c":1}]}"#,
            r#"{"$set":{"a.$[x].d":1},"$inc":{"a.$[y].d":1}}"#,
            Err("$inc at a.$[y].d: conflicts with $set at a.$[x].d"),
        ),
        (
            "{}",
            None,
            r#"{"a":[1]}"#,
            r#"{"$set":{"a.$[]":1,"a.0":2}}"#,
            Err("$set at a.0: conflicts with $set at a.$[]"),
        ),
        ("{}", None, "{}", r#"{"$set":{"a.$[]":1}}"#, Err("$set at a.$[]: $[..] needs an array, and there is nothing")),
        (
            "{}",
            Some(r#"[{"x":1}]"#),
            "{}",
            r#"{"$set":{"a.$[x]":1}}"#,
            Err("$set at a.$[x]: $[..] needs an array, and there is nothing"),
        ),
        (
            "{}",
            None,
            r#"{"a":5}"#,
            r#"{"$set":{"a.$[]":1}}"#,
            Err("$set at a.$[]: $[..] in a value of type int, not an array"),
        ),
    ]);
}

#[test]
fn array_filters_that_cannot_be() {
    for (filters, update, message) in [
        ("{}", r#"{"$set":{"a":1}}"#, "ARRAYFILTERS: needs an array of filters"),
        ("[1]", r#"{"$set":{"a":1}}"#, "ARRAYFILTERS: entry 0 is no object"),
        ("[{}]", r#"{"$set":{"a":1}}"#, "ARRAYFILTERS: entry 0: names no element"),
        (r#"[{"x":1,"y":1}]"#, r#"{"$set":{"a.$[x]":1}}"#, "ARRAYFILTERS: entry 0: speaks of x and of y"),
        (r#"[{"x":1},{"x.b":1}]"#, r#"{"$set":{"a.$[x]":1}}"#, "ARRAYFILTERS: entry 1: x has a filter already"),
        (
            r#"[{"X":1}]"#,
            r#"{"$set":{"a.$[X]":1}}"#,
            "ARRAYFILTERS: entry 0: X: an identifier is a small letter, then letters and digits",
        ),
        (r#"[{"x":1}]"#, r#"{"$set":{"a":1}}"#, "ARRAYFILTERS: no path uses x"),
        (r#"[{"x":1}]"#, r#"{"a":1}"#, "ARRAYFILTERS: a replacement has no paths that could use them"),
        (r#"[{"x":{"$foo":1}}]"#, r#"{"$set":{"a.$[x]":1}}"#, "ARRAYFILTERS: entry 0: unknown operator $foo at x"),
    ] {
        let error = apply_with("{}", Some(filters), r#"{"_id":1}"#, update).unwrap_err();
        assert_eq!((error.code, &*error.message), (ErrorCode::BadUpdate, message), "{filters}");
    }
}

#[test]
fn edges_of_arrays() {
    check(&[
        ("{}", None, r#"{"a":[1]}"#, r#"{"$push":{"a":{"$each":[2],"$position":99}}}"#, Ok(r#"{"a":[1,2]}"#)),
        ("{}", None, r#"{"a":[1]}"#, r#"{"$push":{"a":{"$each":[2],"$position":-99}}}"#, Ok(r#"{"a":[2,1]}"#)),
        ("{}", None, r#"{"a":[1,2]}"#, r#"{"$push":{"a":{"$each":[3],"$slice":0}}}"#, Ok(r#"{"a":[]}"#)),
        // An element's array sorts as a whole here, after numbers.
        (
            "{}",
            None,
            r#"{"a":[{"b":[0]},{"b":1},5]}"#,
            r#"{"$push":{"a":{"$each":[],"$sort":{"b":1}}}}"#,
            Ok(r#"{"a":[5,{"b":1},{"b":[0]}]}"#),
        ),
        ("{}", None, r#"{"a":[{"x":1,"y":2}]}"#, r#"{"$addToSet":{"a":{"x":1.0,"y":2}}}"#, Ok("")),
        (
            "{}",
            None,
            r#"{"a":[{"x":1,"y":2}]}"#,
            r#"{"$addToSet":{"a":{"y":2,"x":1}}}"#,
            Ok(r#"{"a":[{"x":1,"y":2},{"y":2,"x":1}]}"#),
        ),
        ("{}", None, r#"{"a":[1,2]}"#, r#"{"$unset":{"a.b":1,"a.7":1}}"#, Ok("")),
        ("{}", None, r#"{"a":[[1,2],[3]]}"#, r#"{"$push":{"a.1":4}}"#, Ok(r#"{"a":[[1,2],[3,4]]}"#)),
        (
            "{}",
            None,
            r#"{"a":[1,2]}"#,
            r#"{"$rename":{"a.0":"b"}}"#,
            Err("$rename at a.0: cannot rename inside an array"),
        ),
        (
            "{}",
            None,
            r#"{"a":[1,2],"b":1}"#,
            r#"{"$rename":{"b":"a.0"}}"#,
            Err("$rename at b: a.0: cannot rename into an array"),
        ),
        // Names that look like numbers beside some that do not are still in one order.
        ("{}", None, "{}", r#"{"$set":{"9":1,"1a":2,"10":3}}"#, Ok(r#"{"9":1,"10":3,"1a":2}"#)),
    ]);
}

#[test]
fn nothing_is_made_that_would_be_read_as_something_else() {
    let typed = |name: &str| format!("an object that begins with {name} would be read as a typed value");
    for (document, update, name) in [
        (r#"{"_id":1}"#, r#"{"$set":{"a.$date.b":1}}"#, "$date"),
        (r#"{"_id":1,"a":[1]}"#, r#"{"$set":{"a.1.$oid":"x"}}"#, "$oid"),
        (r#"{"_id":1,"a":{"b":1,"$uuid":2}}"#, r#"{"$unset":{"a.b":1}}"#, "$uuid"),
        (r#"{"_id":1,"b":1}"#, r#"{"$rename":{"b":"a.$minKey"}}"#, "$minKey"),
        (r#"{"_id":1}"#, r#"[{"$set":{"a":{"$arrayToObject":{"$literal":[["$date",1]]}}}}]"#, "$date"),
    ] {
        let error = apply_with("{}", None, document, update).unwrap_err();
        assert_eq!((error.code, error.message.contains(&typed(name))), (ErrorCode::BadUpdate, true), "{error}");
    }
    // Where it is not the first member it is one like any other.
    check(&[("{}", None, r#"{"a":{"b":1}}"#, r#"{"$set":{"a.$date":1}}"#, Ok(r#"{"a":{"b":1,"$date":1}}"#))]);
}

#[test]
fn one_update_cannot_fill_the_memory() {
    let document = format!(r#"{{"_id":1,"a":[{}]}}"#, vec!["0"; 100_000].join(","));
    let error = apply_with("{}", None, &document, &format!(r#"{{"$set":{{"a.$[]":"{}"}}}}"#, "x".repeat(10_000)));
    assert_eq!(error.unwrap_err().code, ErrorCode::TooBig);
}
