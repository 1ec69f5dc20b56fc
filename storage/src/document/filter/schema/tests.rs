//! MongoDB's meaning of each keyword, as tables.

use super::super::{Filter, FilterLimits};
use super::{KEYWORDS, UNSUPPORTED};
use crate::document::codec::ValueRef;
use crate::document::json::{ParseLimits, parse_value};

/// What `x` a schema of `x` lets pass.
fn check(schema: &str, yes: &[&str], no: &[&str]) {
    let filter = format!(r#"{{"$jsonSchema":{{"properties":{{"x":{schema}}}}}}}"#);
    for (values, wanted) in [(yes, true), (no, false)] {
        for value in values {
            assert_eq!(fits(&filter, &format!(r#"{{"x":{value}}}"#)), wanted, "{schema} of {value}");
        }
    }
    assert!(fits(&filter, r#"{"y":1}"#), "{schema} says nothing of what is missing");
}

fn fits(filter: &str, document: &str) -> bool {
    let filter = Filter::parse(filter.as_bytes(), &FilterLimits::default()).unwrap_or_else(|e| panic!("{filter}: {e}"));
    let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
    let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
    filter.matches(root)
}

#[test]
fn types_and_values() {
    check(r#"{"bsonType":"int"}"#, &["1"], &["1.0", "5000000000", "[1]", "null"]);
    check(r#"{"bsonType":["number","null"]}"#, &["1", "1.5", "null"], &[r#""1""#]);
    check(r#"{"bsonType":"date"}"#, &[r#"{"$date":5}"#], &["5"]);
    check(r#"{"bsonType":"javascript"}"#, &[], &["1"]);
    check(r#"{"type":"boolean"}"#, &["true"], &["1"]);
    check(r#"{"enum":[1,{"a":1,"b":[2]},null]}"#, &["1.0", r#"{"b":[2],"a":1}"#, "null"], &["2", r#"{"a":1}"#]);
    check(r#"{"title":"t","description":"d"}"#, &["1"], &[]);
}

#[test]
fn numbers_and_texts() {
    check(r#"{"minimum":5}"#, &["5", "6", r#""a""#], &["4", r#"{"$numberDouble":"NaN"}"#]);
    check(r#"{"exclusiveMinimum":true,"minimum":5}"#, &["6"], &["5"]);
    check(r#"{"maximum":5,"exclusiveMaximum":false}"#, &["5"], &["5.1"]);
    check(r#"{"multipleOf":0.1}"#, &["0.3", "7", r#"{"$numberDecimal":"1.1"}"#], &["0.35"]);
    check(r#"{"multipleOf":3}"#, &["9", "-3", "0", r#""x""#], &["4", r#"{"$numberDouble":"Infinity"}"#]);
    check(r#"{"minLength":2,"maxLength":3}"#, &[r#""éé""#, "1"], &[r#""é""#, r#""abcd""#]);
    check(r#"{"pattern":"^a\\d$"}"#, &[r#""a1""#, "1"], &[r#""b1""#]);
}

#[test]
fn arrays() {
    check(r#"{"minItems":1,"maxItems":2}"#, &["[1]", "1"], &["[]", "[1,2,3]"]);
    check(r#"{"uniqueItems":true}"#, &["[1,2]", "5"], &["[1,1.0]", r#"[{"a":1,"b":2},{"b":2,"a":1}]"#]);
    check(r#"{"items":{"bsonType":"int"}}"#, &["[]", "[1,2]", "5"], &[r#"[1,"a"]"#]);
    check(r#"{"items":[{"bsonType":"int"}]}"#, &["[]", r#"[1,"a"]"#], &[r#"["a"]"#]);
    check(r#"{"additionalItems":false,"items":[{}]}"#, &["[1]"], &["[1,2]"]);
    check(r#"{"additionalItems":{"type":"string"},"items":[{}]}"#, &[r#"[1,"a"]"#], &["[1,2]"]);
    check(r#"{"additionalItems":false}"#, &["[1]"], &[]);
}

#[test]
fn objects() {
    check(r#"{"required":["a","b"]}"#, &[r#"{"a":1,"b":null}"#, "1"], &[r#"{"a":1}"#]);
    check(r#"{"minProperties":1,"maxProperties":1}"#, &[r#"{"a":1}"#], &["{}", r#"{"a":1,"b":1}"#]);
    check(
        r#"{"additionalProperties":false,"properties":{"a":{}},"patternProperties":{"^s_":{"type":"string"}}}"#,
        &[r#"{"a":1,"s_b":"x"}"#],
        &[r#"{"s_b":1}"#, r#"{"c":1}"#],
    );
    check(r#"{"additionalProperties":{"type":"number"}}"#, &[r#"{"a":1}"#], &[r#"{"a":"x"}"#]);
    check(r#"{"dependencies":{"a":["b"]}}"#, &[r#"{"a":1,"b":1}"#, r#"{"c":1}"#], &[r#"{"a":1}"#]);
    check(r#"{"dependencies":{"a":{"minProperties":2}}}"#, &[r#"{"a":1,"b":1}"#], &[r#"{"a":1}"#]);
}

#[test]
fn schemas_of_schemas() {
    check(r#"{"allOf":[{"minimum":1},{"maximum":3}]}"#, &["2"], &["4"]);
    check(r#"{"anyOf":[{"type":"string"},{"minimum":3}]}"#, &[r#""a""#, "3"], &["2"]);
    check(r#"{"oneOf":[{"multipleOf":3},{"multipleOf":5}]}"#, &["3", "5"], &["15", "7"]);
    check(r#"{"not":{"required":["a"]}}"#, &[r#"{"b":1}"#], &[r#"{"a":1}"#, "1"]);
}

#[test]
fn the_root_is_an_object() {
    assert!(fits(r#"{"$jsonSchema":{"bsonType":"object","minimum":5}}"#, "{}"));
    assert!(!fits(r#"{"$jsonSchema":{"type":"array"}}"#, "{}"));
    assert!(fits(r#"{"$or":[{"a":1},{"$jsonSchema":{"required":["b"]}}]}"#, r#"{"b":1}"#));
    assert!(fits(r#"{"$jsonSchema":{"enum":[{"b":1,"a":1}]}}"#, r#"{"a":1,"b":1}"#));
}

#[test]
fn errors_name_their_place() {
    for (schema, message) in [
        ("5", "$jsonSchema: needs an object"),
        (r#"{"foo":1}"#, "$jsonSchema: unknown keyword foo"),
        (r#"{"properties":{"a":{"$ref":"x"}}}"#, "$jsonSchema at properties.a: unsupported keyword $ref"),
        (
            r#"{"properties":{"a":{"maxLength":-1}}}"#,
            "$jsonSchema at properties.a.maxLength: needs a whole number that is not negative",
        ),
        (
            r#"{"additionalProperties":1,"properties":{}}"#,
            "$jsonSchema at additionalProperties: needs true, false or a schema",
        ),
        (r#"{"properties":[]}"#, "$jsonSchema at properties: needs an object"),
        (r#"{"allOf":[]}"#, "$jsonSchema at allOf: the array has nothing in it"),
        (r#"{"oneOf":[{},{"type":"integer"}]}"#, "$jsonSchema at oneOf.1.type: no such type: \"integer\""),
        (r#"{"type":"string","bsonType":"string"}"#, "$jsonSchema at bsonType: type stands beside it"),
        (r#"{"required":["a","a"]}"#, "$jsonSchema at required: a string stands in the array twice"),
        (r#"{"enum":[1,1.0]}"#, "$jsonSchema at enum: a value stands in the array twice"),
        (r#"{"exclusiveMinimum":true}"#, "$jsonSchema at exclusiveMinimum: needs minimum beside it"),
        (r#"{"multipleOf":0}"#, "$jsonSchema at multipleOf: needs a number greater than 0"),
        (r#"{"pattern":"("}"#, "$jsonSchema at pattern: bad regular expression: unclosed group"),
        (r#"{"dependencies":{"a":[]}}"#, "$jsonSchema at dependencies.a: the array has nothing in it"),
        (r#"{"items":[1]}"#, "$jsonSchema at items.0: needs an object"),
    ] {
        let filter = format!(r#"{{"$jsonSchema":{schema}}}"#);
        let error = Filter::parse(filter.as_bytes(), &FilterLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), message, "{schema}");
    }
    let limits = FilterLimits { nodes: 3, ..FilterLimits::default() };
    let big = br#"{"$jsonSchema":{"title":"a","description":"b","minimum":1}}"#;
    assert!(Filter::parse(big, &limits).is_err());
}

#[test]
fn every_keyword_is_declared_once_and_described() {
    let keywords = || KEYWORDS.iter().flat_map(|(_, family)| family.iter());
    let mut names: Vec<&str> = keywords().map(|keyword| keyword.name).chain(UNSUPPORTED).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(keywords().all(|keyword| keyword.summary.ends_with('.')));
}
