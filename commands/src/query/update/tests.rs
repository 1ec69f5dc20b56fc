//! What each operator makes of a document, as tables.

use veddb_storage::document::expression::Work;
use veddb_storage::document::json::{parse_value, render_object};
use veddb_storage::document::{Filter, RawObject, ValueRef};

use super::{OPERATORS, Terms, Update};
use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};
use crate::query::text_limits;

fn apply(document: &str, update: &str) -> Result<Option<String>, CommandError> {
    apply_with("{}", None, document, update)
}

/// What the update makes of a document that matches the filter; none when it leaves it as it is.
pub(super) fn apply_with(
    filter: &str,
    array_filters: Option<&str>,
    document: &str,
    update: &str,
) -> Result<Option<String>, CommandError> {
    let limits = Limits::default();
    let filter = Filter::parse(filter.as_bytes(), &crate::query::filter_limits(&limits)).unwrap();
    let update = Update::parse(update.as_bytes(), array_filters.map(str::as_bytes), &terms(&limits))?;
    let packed = parse_value(document.as_bytes(), text_limits(&limits)).unwrap();
    let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
    let body = update.apply(root, &filter, &limits, &Work::default())?;
    Ok(body.map(|body| {
        let mut text = Vec::new();
        render_object(&mut text, RawObject::from_body(&body));
        String::from_utf8(text).unwrap()
    }))
}

fn terms(limits: &Limits) -> Terms<'_> {
    Terms { limits, now_ms: 1_700_000_000_123 }
}

/// `expected` leaves `_id` out; empty means "unchanged".
fn check(cases: &[(&str, &str, &str)]) {
    for (document, update, expected) in cases {
        let with_id = |text: &str| match text {
            "{}" => r#"{"_id":1}"#.to_owned(),
            text => text.replacen('{', r#"{"_id":1,"#, 1),
        };
        let got = apply(&with_id(document), update).unwrap_or_else(|e| panic!("{update} on {document}: {e}"));
        let wanted = (!expected.is_empty()).then(|| with_id(expected));
        assert_eq!(got, wanted, "{update} on {document}");
    }
}

#[test]
fn fields() {
    check(&[
        (r#"{"a":1}"#, r#"{"$set":{"a":2}}"#, r#"{"a":2}"#),
        (r#"{"a":1}"#, r#"{"$set":{"a":1}}"#, ""),
        (r#"{"a":1}"#, r#"{"$set":{"a":1.0}}"#, r#"{"a":1.0}"#),
        (r#"{"a":1}"#, r#"{"$set":{}}"#, ""),
        ("{}", r#"{"$set":{"b":1,"a.c.d":2}}"#, r#"{"a":{"c":{"d":2}},"b":1}"#),
        ("{}", r#"{"$set":{"a.0":1}}"#, r#"{"a":{"0":1}}"#),
        (r#"{"a":[1]}"#, r#"{"$set":{"a.3":4}}"#, r#"{"a":[1,null,null,4]}"#),
        (r#"{"a":[{"b":1}]}"#, r#"{"$set":{"a.0.b":2,"a.1.b":3}}"#, r#"{"a":[{"b":2},{"b":3}]}"#),
        (r#"{"a":1}"#, r#"{"$set":{"_id":1,"a":3}}"#, r#"{"a":3}"#),
        (r#"{"a":1,"b":2}"#, r#"{"$unset":{"a":""}}"#, r#"{"b":2}"#),
        (r#"{"a":1}"#, r#"{"$unset":{"b":"","a.b.c":1}}"#, ""),
        (r#"{"a":[1,2]}"#, r#"{"$unset":{"a.0":1}}"#, r#"{"a":[null,2]}"#),
        (r#"{"a":1}"#, r#"{"$setOnInsert":{"b":1}}"#, ""),
        (r#"{"a":1,"b":2}"#, r#"{"$rename":{"a":"c.d"}}"#, r#"{"b":2,"c":{"d":1}}"#),
        (r#"{"a":1,"b":2}"#, r#"{"$rename":{"a":"b"}}"#, r#"{"b":1}"#),
        (r#"{"a":1}"#, r#"{"$rename":{"x":"y","z.q":"w","$v":"u"}}"#, ""),
        ("{}", r#"{"$set":{"a.$b":1}}"#, r#"{"a":{"$b":1}}"#),
        (r#"{"a":5}"#, r#"{"$min":{"a":3,"b":1}}"#, r#"{"a":3,"b":1}"#),
        (r#"{"a":5}"#, r#"{"$min":{"a":7}}"#, ""),
        (r#"{"a":5}"#, r#"{"$max":{"a":"x"}}"#, r#"{"a":"x"}"#),
        (r#"{"a":5}"#, r#"{"$max":{"a":5.0}}"#, ""),
        ("{}", r#"{"$currentDate":{"a":true}}"#, r#"{"a":{"$date":"2023-11-14T22:13:20.123Z"}}"#),
        ("{}", r#"{"$currentDate":{"a":{"$type":"timestamp"}}}"#, r#"{"a":{"$timestamp":{"t":1700000000,"i":1}}}"#),
    ]);
}

#[test]
fn arithmetic() {
    check(&[
        (r#"{"a":1}"#, r#"{"$inc":{"a":2,"b":5}}"#, r#"{"a":3,"b":5}"#),
        (r#"{"a":1}"#, r#"{"$inc":{"a":0}}"#, ""),
        (r#"{"a":{"$numberDecimal":"-0"}}"#, r#"{"$inc":{"a":0}}"#, ""),
        (r#"{"a":2147483647}"#, r#"{"$inc":{"a":1}}"#, r#"{"a":2147483648}"#),
        (r#"{"a":1}"#, r#"{"$inc":{"a":0.5}}"#, r#"{"a":1.5}"#),
        (r#"{"a":1.5}"#, r#"{"$inc":{"a":1}}"#, r#"{"a":2.5}"#),
        (r#"{"a":1}"#, r#"{"$inc":{"a":{"$numberDecimal":"0.1"}}}"#, r#"{"a":{"$numberDecimal":"1.1"}}"#),
        (r#"{"a":3}"#, r#"{"$mul":{"a":4,"b":5}}"#, r#"{"a":12,"b":0}"#),
        (r#"{"a":3}"#, r#"{"$mul":{"a":0.5,"b":0.5}}"#, r#"{"a":1.5,"b":0.0}"#),
        (r#"{"a":65536}"#, r#"{"$mul":{"a":65536}}"#, r#"{"a":4294967296}"#),
        (r#"{"a":13}"#, r#"{"$bit":{"a":{"and":10},"b":{"or":5}}}"#, r#"{"a":8,"b":5}"#),
        (r#"{"a":1}"#, r#"{"$bit":{"a":{"xor":5,"or":8}}}"#, r#"{"a":12}"#),
        (r#"{"a":1}"#, r#"{"$bit":{"a":{"or":{"$numberLong":"2"}}}}"#, r#"{"a":3}"#),
    ]);
}

#[test]
fn arrays() {
    check(&[
        (r#"{"a":[1]}"#, r#"{"$push":{"a":2,"b":{"x":1}}}"#, r#"{"a":[1,2],"b":[{"x":1}]}"#),
        (r#"{"a":[1]}"#, r#"{"$push":{"a":[2,3]}}"#, r#"{"a":[1,[2,3]]}"#),
        (r#"{"a":[1]}"#, r#"{"$push":{"a":{"$each":[2,3]}}}"#, r#"{"a":[1,2,3]}"#),
        (r#"{"a":[1]}"#, r#"{"$push":{"a":{"$each":[]}}}"#, ""),
        (r#"{"a":[1,2]}"#, r#"{"$push":{"a":{"$each":[8,9],"$position":1}}}"#, r#"{"a":[1,8,9,2]}"#),
        (r#"{"a":[1,2]}"#, r#"{"$push":{"a":{"$each":[9],"$position":-1}}}"#, r#"{"a":[1,9,2]}"#),
        (r#"{"a":[1,2]}"#, r#"{"$push":{"a":{"$each":[3],"$slice":-2}}}"#, r#"{"a":[2,3]}"#),
        (r#"{"a":[1,2]}"#, r#"{"$push":{"a":{"$each":[3],"$slice":1}}}"#, r#"{"a":[1]}"#),
        (r#"{"a":[3,1]}"#, r#"{"$push":{"a":{"$each":[2],"$sort":1}}}"#, r#"{"a":[1,2,3]}"#),
        (
            r#"{"a":[{"b":1},{"b":3}]}"#,
            r#"{"$push":{"a":{"$each":[{"b":2}],"$sort":{"b":-1},"$slice":2}}}"#,
            r#"{"a":[{"b":3},{"b":2}]}"#,
        ),
        (r#"{"a":[1,2,1,1.0]}"#, r#"{"$pull":{"a":1,"b":1}}"#, r#"{"a":[2]}"#),
        (r#"{"a":[1,5,9]}"#, r#"{"$pull":{"a":{"$gte":5}}}"#, r#"{"a":[1]}"#),
        (r#"{"a":[{"b":1,"c":1},{"b":2},3]}"#, r#"{"$pull":{"a":{"b":1}}}"#, r#"{"a":[{"b":2},3]}"#),
        (r#"{"a":[[1],[2]]}"#, r#"{"$pull":{"a":[1]}}"#, r#"{"a":[[2]]}"#),
        (r#"{"a":[{"b":1},{"c":2},{"b":3}]}"#, r#"{"$pull":{"a":{"$or":[{"b":1},{"c":2}]}}}"#, r#"{"a":[{"b":3}]}"#),
        (r#"{"a":["x","y"]}"#, r#"{"$pull":{"a":{"$in":["x"]}}}"#, r#"{"a":["y"]}"#),
        (
            r#"{"a":["x","y"]}"#,
            r#"{"$pull":{"a":{"$regularExpression":{"pattern":"^x","options":""}}}}"#,
            r#"{"a":["y"]}"#,
        ),
        (
            r#"{"a":[{"b":[1,2]},{"b":[3]}]}"#,
            r#"{"$pull":{"a":{"b":{"$elemMatch":{"$gt":2}}}}}"#,
            r#"{"a":[{"b":[1,2]}]}"#,
        ),
        (r#"{"a":[1,2,1.0,{"b":1}]}"#, r#"{"$pullAll":{"a":[1,{"b":1}],"b":[1]}}"#, r#"{"a":[2]}"#),
        (r#"{"a":[1,2],"b":[1,2]}"#, r#"{"$pop":{"a":1,"b":-1,"c":1}}"#, r#"{"a":[1],"b":[2]}"#),
        (r#"{"a":[]}"#, r#"{"$pop":{"a":1}}"#, ""),
        (r#"{"a":[1]}"#, r#"{"$push":{"a":{"$slice":1}}}"#, r#"{"a":[1,{"$slice":1}]}"#),
        (r#"{"a":[1]}"#, r#"{"$addToSet":{"a":1.0}}"#, ""),
        (r#"{"a":[1]}"#, r#"{"$addToSet":{"a":{"$each":[2,1,2]},"b":7}}"#, r#"{"a":[1,2],"b":[7]}"#),
        (r#"{"a":[1]}"#, r#"{"$addToSet":{"a":{"$each":[]}}}"#, ""),
    ]);
}

#[test]
fn replacement_keeps_the_id() {
    check(&[
        (r#"{"a":1}"#, r#"{"b":2}"#, r#"{"b":2}"#),
        (r#"{"a":1}"#, r#"{"b":2,"_id":1.0}"#, r#"{"b":2}"#),
        (r#"{"a":1}"#, r#"{"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1}"#, "{}", "{}"),
    ]);
}

#[test]
fn errors_name_operator_and_path() {
    for (document, update, message) in [
        ("{}", r#"{"$foo":{"a":1}}"#, "unknown operator $foo"),
        ("{}", r#"{"$set":1}"#, "$set: needs an object of paths and values"),
        ("{}", r#"{"$set":{"a":1},"b":2}"#, "operators and plain fields cannot stand side by side"),
        ("{}", r#"{"$set":{"a":1,"a.b":2}}"#, "$set at a.b: conflicts with $set at a"),
        ("{}", r#"{"$set":{"a":1},"$inc":{"a":2}}"#, "$inc at a: conflicts with $set at a"),
        ("{}", r#"{"$rename":{"a":"b"},"$set":{"b.c":1}}"#, "$set at b.c: conflicts with $rename at b"),
        ("{}", r#"{"$set":{"a..b":1}}"#, "$set at a..b: the path has an empty segment"),
        ("{}", r#"{"$set":{"":1}}"#, "$set at : the path has an empty segment"),
        ("{}", r#"{"$set":{"$b":1}}"#, "$set at $b: $b: no name of a document starts with $"),
        (r#"{"a":1}"#, r#"{"$rename":{"a":"_id"}}"#, "$rename at a: _id cannot be changed"),
        ("{}", r#"{"$set":{"$.a":1}}"#, "$set at $.a: $ needs the path of an array before it"),
        ("{}", r#"{"$set":{"$[].a":1}}"#, "$set at $[].a: $[] needs the path of an array before it"),
        ("{}", r#"{"$set":{"a.$.b.$":1}}"#, "$set at a.$.b.$: $ stands twice in the path"),
        ("{}", r#"{"$set":{"a.$[x]":1}}"#, "$set at a.$[x]: no array filter for x"),
        ("{}", r#"{"$rename":{"a.$[]":"b"}}"#, "$rename at a.$[]: a.$[]: elements of an array cannot be renamed"),
        ("{}", r#"{"$pop":{"a":2}}"#, "$pop at a: needs 1 or -1"),
        ("{}", r#"{"$pullAll":{"a":2}}"#, "$pullAll at a: needs an array, not int"),
        (r#"{"a":1}"#, r#"{"$pull":{"a.b":1}}"#, "$pull at a.b: cannot make b inside a value of type int"),
        ("{}", r#"{"$bit":{"a":{}}}"#, "$bit at a: needs and, or, xor"),
        ("{}", r#"{"$bit":{"a":{"not":1}}}"#, "$bit at a: unknown operation not; it is and, or, xor"),
        ("{}", r#"{"$bit":{"a":{"and":1.0}}}"#, "$bit at a: and needs an integer, not double"),
        (r#"{"a":1.5}"#, r#"{"$bit":{"a":{"and":1}}}"#, "$bit at a: the field is of type double, not an integer"),
        ("{}", r#"{"$currentDate":{"a":1}}"#, "$currentDate at a: needs true or an object, not int"),
        ("{}", r#"{"$currentDate":{"a":{"$type":"x"}}}"#, r#"$currentDate at a: $type is "date" or "timestamp""#),
        ("{}", r#"{"$set":{"_id":2}}"#, "_id cannot be changed"),
        ("{}", r#"{"$unset":{"_id":1}}"#, "_id cannot be changed"),
        ("{}", r#"{"_id":2}"#, "_id cannot be changed"),
        (r#"{"a":5}"#, r#"{"$set":{"a.b":1}}"#, "$set at a.b: cannot make b inside a value of type int"),
        (r#"{"a":[]}"#, r#"{"$set":{"a.b":1}}"#, "$set at a.b: cannot make b inside an array"),
        (
            r#"{"a":[]}"#,
            r#"{"$set":{"a.9999999":1}}"#,
            "$set at a.9999999: index 9999999 is too far beyond the array's end",
        ),
        (r#"{"a":"x"}"#, r#"{"$inc":{"a":1}}"#, "$inc at a: the field is of type string, not a number"),
        (r#"{"a":null}"#, r#"{"$inc":{"a":1}}"#, "$inc at a: the field is of type null, not a number"),
        ("{}", r#"{"$inc":{"a":"1"}}"#, "$inc at a: needs a number, not string"),
        (r#"{"a":9223372036854775807}"#, r#"{"$inc":{"a":1}}"#, "$inc at a: the result is beyond 64 bits"),
        (r#"{"a":1}"#, r#"{"$push":{"a":1}}"#, "$push at a: the field is of type int, not an array"),
        ("{}", r#"{"$push":{"a":{"$each":1}}}"#, "$push at a: $each needs an array"),
        (r#"{"a":[{"b":1}]}"#, r#"{"$rename":{"a.b":"c"}}"#, "$rename at a.b: cannot rename inside an array"),
        ("{}", r#"{"$pull":{"a":{"$foo":1}}}"#, "$pull at a: unknown operator $foo at element"),
    ] {
        let document = document.replacen('{', r#"{"_id":1,"#, 1).replace(",}", "}");
        let error = apply(&document, update).unwrap_err();
        assert_eq!((error.code, &*error.message), (ErrorCode::BadUpdate, message), "{update} on {document}");
    }
}

#[test]
fn an_update_cannot_nest_deeper_than_an_insert() {
    let path = vec!["a"; 100].join(".");
    let value = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let error = apply(r#"{"_id":1}"#, &format!(r#"{{"$set":{{"{path}":{value}}}}}"#)).unwrap_err();
    assert_eq!(error.code, ErrorCode::TooBig);
}

#[test]
fn upserts_start_from_the_filters_equalities() {
    let limits = Limits::default();
    for (filter, update, expected) in [
        (r#"{"a":1,"b":{"$gt":2}}"#, r#"{"$set":{"c":3}}"#, r#"{"_id":"made","a":1,"c":3}"#),
        (
            r#"{"_id":"x","a.b":1}"#,
            r#"{"$inc":{"n":1},"$setOnInsert":{"m":2}}"#,
            r#"{"_id":"x","a":{"b":1},"m":2,"n":1}"#,
        ),
        (r#"{"a":1}"#, r#"{"b":2}"#, r#"{"_id":"made","b":2}"#),
        (r#"{"_id":7,"a":1}"#, r#"{"b":2}"#, r#"{"_id":7,"b":2}"#),
        (r#"{"$and":[{"a":1},{"b":{"$eq":2}}]}"#, r#"{"$unset":{"a":1}}"#, r#"{"_id":"made","b":2}"#),
        (r#"{"$or":[{"a":1},{"a":2}]}"#, r#"{"$set":{"_id":9}}"#, r#"{"_id":9}"#),
        (r#"{"a":{"$all":[1]},"b":{"$in":[2]}}"#, r#"{"$set":{"c":3}}"#, r#"{"_id":"made","a":1,"b":2,"c":3}"#),
    ] {
        let tree = Filter::parse(filter.as_bytes(), &crate::query::filter_limits(&limits)).unwrap();
        let update = Update::parse(update.as_bytes(), None, &terms(&limits)).unwrap();
        let parsed = update.upsert(&tree, &|| "made".to_owned(), &limits, &Work::default()).unwrap();
        let mut text = Vec::new();
        render_object(&mut text, RawObject::from_body(&parsed.body));
        assert_eq!(String::from_utf8(text).unwrap(), expected, "{filter}");
    }
}

#[test]
fn an_upsert_needs_one_value_for_a_path() {
    let limits = Limits::default();
    for (filter, message) in [
        (r#"{"a":1,"$and":[{"a":2}]}"#, "upsert: a: stands twice in the filter"),
        (r#"{"a":{"$all":[1,2]}}"#, "upsert: a: stands twice in the filter"),
        (r#"{"a":1,"a.b":2}"#, "upsert: a.b: stands beside a path above it"),
    ] {
        let tree = Filter::parse(filter.as_bytes(), &crate::query::filter_limits(&limits)).unwrap();
        let update = Update::parse(br#"{"$set":{"c":3}}"#, None, &terms(&limits)).unwrap();
        let error = update.upsert(&tree, &String::new, &limits, &Work::default()).unwrap_err();
        assert_eq!((error.code, &*error.message), (ErrorCode::BadFilter, message), "{filter}");
    }
}

#[test]
fn every_operator_is_declared_once_and_described() {
    let mut names: Vec<&str> = OPERATORS.iter().flat_map(|(_, family)| family.iter()).map(|o| o.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(OPERATORS.iter().flat_map(|(_, family)| family.iter()).all(|o| o.summary.ends_with('.')));
}
