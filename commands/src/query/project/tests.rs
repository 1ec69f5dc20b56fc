//! What projections make of documents, as tables.

use veddb_storage::document::json::parse_value;
use veddb_storage::document::{Filter, ValueRef};

use super::{Project, Sight};
use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};
use crate::query::{filter_limits, text_limits};

fn project(projection: &str, filter: &str, document: &str) -> Result<String, CommandError> {
    let limits = Limits::default();
    let filter = Filter::parse(filter.as_bytes(), &filter_limits(&limits)).unwrap();
    let packed = parse_value(document.as_bytes(), text_limits(&limits)).unwrap();
    let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
    let Some(project) = Project::parse(projection.as_bytes(), &limits)? else { return Ok(document.to_owned()) };
    let mut out = Vec::new();
    project.render(&mut out, root, Sight { filter: Some(&filter), now_ms: 0, variables: &[], watch: None })?;
    Ok(String::from_utf8(out).unwrap())
}

#[track_caller]
fn check(projection: &str, document: &str, expected: &str) {
    let got = project(projection, "{}", document).unwrap_or_else(|e| panic!("{projection} of {document}: {e}"));
    assert_eq!(got, expected, "{projection} of {document}");
}

#[test]
fn keeping_and_leaving_out() {
    let document = r#"{"_id":1,"a":{"b":1,"c":2},"d":[{"e":1,"f":2},3,[{"e":4}]],"g":5}"#;
    check("{}", document, document);
    check(r#"{"g":1}"#, document, r#"{"_id":1,"g":5}"#);
    check(r#"{"g":true,"_id":0}"#, document, r#"{"g":5}"#);
    check(r#"{"_id":1}"#, document, r#"{"_id":1}"#);
    check(r#"{"_id":0}"#, document, r#"{"a":{"b":1,"c":2},"d":[{"e":1,"f":2},3,[{"e":4}]],"g":5}"#);
    check(r#"{"a.b":1}"#, document, r#"{"_id":1,"a":{"b":1}}"#);
    check(r#"{"a":{"b":1}}"#, document, r#"{"_id":1,"a":{"b":1}}"#);
    check(r#"{"g.x":1}"#, document, r#"{"_id":1}"#);
    check(r#"{"d.e":1}"#, document, r#"{"_id":1,"d":[{"e":1},[{"e":4}]]}"#);
    check(r#"{"d.e":0}"#, document, r#"{"_id":1,"a":{"b":1,"c":2},"d":[{"f":2},3,[{}]],"g":5}"#);
    check(r#"{"a":0,"d":0}"#, document, r#"{"_id":1,"g":5}"#);
    check(r#"{"a":0,"d":0,"_id":1}"#, document, r#"{"_id":1,"g":5}"#);
    check(r#"{"a":0,"d":0,"_id":0}"#, document, r#"{"g":5}"#);
    check(r#"{"x":1}"#, document, r#"{"_id":1}"#);
    let many: Vec<String> = (0..20).map(|n| format!(r#""x{n}":1"#)).collect();
    check(&format!("{{{}}}", many.join(",")), r#"{"_id":1,"x3":3,"x19":19,"y":1}"#, r#"{"_id":1,"x3":3,"x19":19}"#);
}

#[test]
fn slice() {
    let document = r#"{"_id":1,"a":[1,2,3,4],"b":2}"#;
    check(r#"{"a":{"$slice":2}}"#, document, r#"{"_id":1,"a":[1,2],"b":2}"#);
    check(r#"{"a":{"$slice":-1}}"#, document, r#"{"_id":1,"a":[4],"b":2}"#);
    check(r#"{"a":{"$slice":0}}"#, document, r#"{"_id":1,"a":[],"b":2}"#);
    check(r#"{"a":{"$slice":[1,2]}}"#, document, r#"{"_id":1,"a":[2,3],"b":2}"#);
    check(r#"{"a":{"$slice":[-2,1]}}"#, document, r#"{"_id":1,"a":[3],"b":2}"#);
    check(r#"{"a":{"$slice":[-9,2]}}"#, document, r#"{"_id":1,"a":[1,2],"b":2}"#);
    check(r#"{"a":{"$slice":[9,2]}}"#, document, r#"{"_id":1,"a":[],"b":2}"#);
    check(r#"{"a":{"$slice":1.9}}"#, document, r#"{"_id":1,"a":[1],"b":2}"#);
    check(r#"{"a":{"$slice":1},"_id":0}"#, document, r#"{"a":[1],"b":2}"#);
    check(r#"{"a":{"$slice":1},"b":0}"#, document, r#"{"_id":1,"a":[1]}"#);
    check(r#"{"a":{"$slice":1},"c":1}"#, document, r#"{"_id":1,"a":[1]}"#);
    check(r#"{"b":{"$slice":1}}"#, document, document);
    check(r#"{"a.b":{"$slice":1}}"#, r#"{"a":[{"b":[1,2]},{"b":[3]},4]}"#, r#"{"a":[{"b":[1]},{"b":[3]},4]}"#);
}

#[test]
fn elem_match() {
    let document = r#"{"_id":1,"x":0,"a":[1,5,8],"d":[{"e":1},{"e":2,"f":3},{"e":2}]}"#;
    check(r#"{"a":{"$elemMatch":{"$gt":2}}}"#, document, r#"{"_id":1,"a":[5]}"#);
    check(r#"{"d":{"$elemMatch":{"e":2}}}"#, document, r#"{"_id":1,"d":[{"e":2,"f":3}]}"#);
    check(r#"{"a":{"$elemMatch":{"$gt":9}}}"#, document, r#"{"_id":1}"#);
    check(r#"{"x":{"$elemMatch":{"$gte":0}}}"#, document, r#"{"_id":1}"#);
    check(r#"{"a":{"$elemMatch":{"$gt":2}},"x":1}"#, document, r#"{"_id":1,"x":0,"a":[5]}"#);
    check(r#"{"a":{"$elemMatch":{"$gt":2}},"d":0}"#, document, r#"{"_id":1,"x":0,"a":[5]}"#);
}

#[test]
fn positional() {
    for (projection, filter, document, expected) in [
        (r#"{"a.$":1}"#, r#"{"a":{"$gte":2}}"#, r#"{"_id":1,"a":[1,2,3],"b":4}"#, Ok(r#"{"_id":1,"a":[2]}"#)),
        (
            r#"{"a.$":1,"b":1}"#,
            r#"{"a.x":2}"#,
            r#"{"a":[{"x":1},{"x":2,"y":3}],"b":4}"#,
            Ok(r#"{"a":[{"x":2,"y":3}],"b":4}"#),
        ),
        (r#"{"a.b.$":1}"#, r#"{"a.b":2}"#, r#"{"a":{"b":[1,2],"c":1}}"#, Ok(r#"{"a":{"b":[2]}}"#)),
        (r#"{"a.$":1}"#, r#"{"a":1}"#, r#"{"a":1}"#, Ok(r#"{"a":1}"#)),
        (r#"{"a.$":1}"#, "{}", r#"{"b":1}"#, Ok("{}")),
        (r#"{"a.$":1}"#, "{}", r#"{"a":[1]}"#, Err("PROJECT: a.$: the filter matched no element of the array")),
        (
            r#"{"a.$":1}"#,
            r#"{"b":2}"#,
            r#"{"a":[1],"b":[1,2]}"#,
            Err("PROJECT: a.$: the filter matched no element of the array"),
        ),
    ] {
        let got = project(projection, filter, document);
        let got = got.as_deref().map_err(|error| &*error.message);
        assert_eq!(got, expected, "{projection} of {document}");
    }
}

#[test]
fn computed_members() {
    let document = r#"{"_id":1,"a":2,"b":[{"c":1},3],"d":{"e":5}}"#;
    check(r#"{"x":{"$add":["$a",1]}}"#, document, r#"{"_id":1,"x":3}"#);
    check(r#"{"d":1,"x":"$a"}"#, document, r#"{"_id":1,"d":{"e":5},"x":2}"#);
    check(r#"{"x":"text","_id":0}"#, document, r#"{"x":"text"}"#);
    check(r#"{"x":["$a",{"y":"$d.e"}],"_id":0}"#, document, r#"{"x":[2,{"y":5}]}"#);
    check(r#"{"x":"$nothing"}"#, document, r#"{"_id":1}"#);
    check(r#"{"d":{"e":1,"f":"$a"}}"#, document, r#"{"_id":1,"d":{"e":5,"f":2}}"#);
    check(r#"{"b.c":"$a"}"#, document, r#"{"_id":1,"b":[{"c":2}]}"#);
    check(r#"{"a.y":"$d.e","_id":0}"#, document, r#"{"a":{"y":5}}"#);
    check(r#"{"_id":"$a"}"#, document, r#"{"_id":2}"#);
}

#[test]
fn only_what_keeps_alone_can_be_covered() {
    for (projection, kept) in [
        (r#"{"a":1,"b.c":1}"#, Some(vec!["a", "b.c", "_id"])),
        (r#"{"a":1,"_id":0}"#, Some(vec!["a"])),
        (r#"{"a":0}"#, None),
        (r#"{"a":{"$slice":1},"b":1}"#, None),
        (r#"{"a":{"$elemMatch":{"b":1}}}"#, None),
        (r#"{"a.$":1}"#, None),
        (r#"{"a":1,"b":"$c"}"#, None),
    ] {
        let project = Project::parse(projection.as_bytes(), &Limits::default()).unwrap().unwrap();
        let got = project.kept();
        let got: Option<Vec<&str>> = got.as_ref().map(|paths| paths.iter().map(String::as_str).collect());
        assert_eq!(got, kept, "{projection}");
    }
}

#[test]
fn bad_projections_are_refused() {
    for (text, message) in [
        ("[]", "needs an object, not array"),
        (r#"{"a":1,"b":0}"#, "b: paths to keep and paths to leave out cannot stand together"),
        (r#"{"a":"$x","b":0}"#, "b: paths to keep and paths to leave out cannot stand together"),
        (r#"{"a.$":1,"b":0}"#, "b: paths to keep and paths to leave out cannot stand together"),
        (r#"{"a":1,"a.b":1}"#, "a.b collides with another path"),
        (r#"{"a.b":1,"a":1}"#, "a collides with another path"),
        (r#"{"a":{"$slice":1},"a.b":1}"#, "a.b collides with another path"),
        (r#"{"a":{}}"#, "a: an empty object asks for nothing"),
        (r#"{"$":1}"#, "$ is not a path"),
        (r#"{"a.$.b":1}"#, "a.$.b is not a path"),
        (r#"{"a..b":1}"#, "a..b is not a path"),
        (r#"{"a.$":0}"#, "a.$: an element cannot be left out"),
        (r#"{"a.$":null}"#, "a.$ needs 1, not a value of type null"),
        (r#"{"a.$":1,"b.$":1}"#, "the positional .$ can stand in one path only"),
        (r#"{"a.$":1,"b":{"$elemMatch":{"c":1}}}"#, "the positional .$ cannot stand beside $elemMatch"),
        (r#"{"a.b":{"$elemMatch":{"c":1}}}"#, "$elemMatch at a.b: cannot stand under a path with dots"),
        (r#"{"a":{"$elemMatch":1}}"#, "$elemMatch at a: needs an object, not int"),
        (r#"{"a":{"$elemMatch":{"$foo":1}}}"#, "unknown operator $foo at a"),
        (r#"{"a":{"$slice":1,"b":1}}"#, "a: $slice cannot stand beside b"),
        (r#"{"a":{"$slice":[1,0]}}"#, "$slice at a: needs a number above 0 after the one to skip"),
        (r#"{"a":{"$slice":[1,"x"]}}"#, "$slice at a: needs a number above 0 after the one to skip"),
    ] {
        let error = Project::parse(text.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!((error.code, &*error.message), (ErrorCode::BadFilter, &*format!("PROJECT: {message}")), "{text}");
    }
}
