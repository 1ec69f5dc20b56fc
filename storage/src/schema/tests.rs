//! What a collection's schema lets be written, as tables.

use super::{CollectionSchema, SCHEMA_BYTES_MAX, Validation, of_options, options_text};
use crate::document::json::{ParseLimits, parse_value};
use crate::document::{Packed, ValueRef};

fn packed(text: &str) -> Packed {
    parse_value(text.as_bytes(), ParseLimits::default()).unwrap()
}

fn compile(schema: &str, validation: Validation) -> Result<CollectionSchema, String> {
    let packed = packed(schema);
    let ValueRef::Object(schema) = packed.get() else { panic!("not an object") };
    CollectionSchema::new(schema, validation)
}

fn check(schema: &CollectionSchema, before: Option<&str>, after: &str) -> Result<(), String> {
    let (before, after) = (before.map(packed), packed(after));
    let before = before.as_ref().map(|packed| match packed.get() {
        ValueRef::Object(object) => object,
        _ => panic!("not an object"),
    });
    let ValueRef::Object(after) = after.get() else { panic!("not an object") };
    schema.check(before, after)
}

#[test]
fn documents_are_asked() {
    for (schema, document, what) in [
        ("{}", r#"{"a":1}"#, None),
        (r#"{"required":["a"]}"#, r#"{"b":1}"#, Some(r#"required does not hold at the root: "a" is missing"#)),
        (r#"{"properties":{"a":{"minimum":5}}}"#, r#"{"a":4}"#, Some("minimum does not hold at a")),
        (r#"{"properties":{"a":{"minimum":5}}}"#, r#"{"a":5}"#, None),
        (r#"{"properties":{"a":{"exclusiveMinimum":5}}}"#, r#"{"a":5}"#, Some("exclusiveMinimum does not hold at a")),
        (
            r#"{"properties":{"a":{"items":{"properties":{"b":{"type":"string"}}}}}}"#,
            r#"{"a":[{"b":"x"},{"b":1}]}"#,
            Some("type does not hold at a.1.b"),
        ),
        (r#"{"properties":{"a":{"prefixItems":[{"const":1}]}}}"#, r#"{"a":[2]}"#, Some("const does not hold at a.0")),
        (
            r##"{"$defs":{"n":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/n"}}}"##,
            r#"{"a":"x"}"#,
            Some("type does not hold at a"),
        ),
        (r#"{"properties":{"a":{"bsonType":"date"}}}"#, r#"{"a":{"$date":5}}"#, None),
        (r#"{"properties":{"a":{"bsonType":"date"}}}"#, r#"{"a":5}"#, Some("bsonType does not hold at a")),
        (r#"{"properties":{"a":{"bsonType":["int","null"]}}}"#, r#"{"a":5}"#, None),
        (r#"{"properties":{"a":{"bsonType":"int"}}}"#, r#"{"a":5000000000}"#, Some("bsonType does not hold at a")),
        (r#"{"properties":{"a":{"bsonType":"number"}}}"#, r#"{"a":{"$numberDecimal":"1.5"}}"#, None),
        (r#"{"properties":{"a":{"bsonType":"object"}}}"#, r#"{"a":{"b":1}}"#, None),
        (r#"{"properties":{"a":{"pattern":"^\\d+$"}}}"#, r#"{"a":"x"}"#, Some("pattern does not hold at a")),
    ] {
        let schema_tree = compile(schema, Validation::Strict).unwrap_or_else(|e| panic!("{schema}: {e}"));
        assert_eq!(check(&schema_tree, None, document).err().as_deref(), what, "{schema} of {document}");
    }
}

#[test]
fn who_is_asked() {
    let schema = r#"{"required":["a"]}"#;
    for (validation, before, after, fits) in [
        (Validation::Strict, None, "{}", false),
        (Validation::Strict, Some("{}"), "{}", false),
        (Validation::Moderate, None, "{}", false),
        (Validation::Moderate, Some("{}"), "{}", true),
        (Validation::Moderate, Some(r#"{"a":1}"#), "{}", false),
        (Validation::Off, None, "{}", true),
    ] {
        let schema = compile(schema, validation).unwrap();
        assert_eq!(check(&schema, before, after).is_ok(), fits, "{validation:?} {before:?}");
    }
}

#[test]
fn schemas_that_cannot_be() {
    for (schema, what) in [
        (r#"{"type":"foo"}"#, "type is not what JSON Schema allows there"),
        (r#"{"properties":{"a":{"minimum":"x"}}}"#, "properties.a.minimum is not what JSON Schema allows there"),
        (r#"{"properties":{"a":{"pattern":"("}}}"#, "properties.a.pattern is not what JSON Schema allows there"),
        (r#"{"properties":{"a":{"pattern":"(?=a)"}}}"#, "properties.a.pattern is not what JSON Schema allows there"),
        (r#"{"bsonType":"foo"}"#, "bsonType: no such type: \"foo\""),
        (r#"{"$ref":"http://example.com/x"}"#, "a $ref does not lead into the schema, as #/$defs/name does"),
        (r##"{"$ref":"#"}"##, "the $ref \"#\" leads back to itself"),
        (r##"{"properties":{"c":{"$ref":"#/properties/c"}}}"##, "the $ref \"#/properties/c\" leads back to itself"),
        (r##"{"properties":{"c":{"$ref":"#/properties/d"}}}"##, "the $ref \"#/properties/d\" leads nowhere"),
        (r##"{"allOf":[{"$dynamicRef":"#a"}]}"##, "$dynamicRef is not supported"),
        (r##"{"allOf":[{"$id":"http://a/b"}]}"##, "$id is only supported at the root"),
        (
            r#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#,
            "$schema is not https://json-schema.org/draft/2020-12/schema",
        ),
    ] {
        assert_eq!(compile(schema, Validation::Strict).unwrap_err(), what, "{schema}");
    }
    assert!(compile(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema"}"#, Validation::Strict).is_ok());
}

/// References that double at every step, and ones that make a long way.
#[test]
fn unfolding_is_bounded() {
    let chain = |count: usize, step: &dyn Fn(usize) -> String| {
        let defs: Vec<String> = (0..count).map(|at| format!(r#""d{at}":{}"#, step(at + 1))).collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{count}":{{"required":["a"]}}}}}}"##, defs.join(","))
    };
    let double = |next| format!(r##"{{"anyOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}}"##);
    let error = compile(&chain(25, &double), Validation::Strict).unwrap_err();
    assert_eq!(error, "the schema unfolds to more than 10000 objects and arrays");
    assert!(compile(&chain(5, &double), Validation::Strict).is_ok());
    let single = |next| format!(r##"{{"$ref":"#/$defs/d{next}"}}"##);
    assert!(compile(&chain(2000, &single), Validation::Strict).unwrap_err().ends_with("more than 128 levels"));
    let long = compile(&chain(50, &single), Validation::Strict).unwrap();
    assert!(check(&long, None, "{}").is_err());
    // As deep as may be, in the schema and in the document.
    let deep = format!(r#"{}{{"type":"object"}}{}"#, r#"{"properties":{"a":"#.repeat(60), "}}".repeat(60));
    let document = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
    let schema = compile(&deep, Validation::Strict).unwrap();
    assert!(check(&schema, None, &document).unwrap_err().starts_with("type does not hold at a.a."));
}

#[test]
fn options_are_written_and_read() {
    let packed = packed(r#"{"required" : ["a"]}"#);
    let ValueRef::Object(schema) = packed.get() else { panic!("not an object") };
    let text = options_text(Some(schema), Validation::Moderate);
    assert_eq!(text, r#"{"schema":{"required":["a"]},"validation":"moderate"}"#);
    let read = of_options(&text).unwrap().unwrap();
    assert_eq!(read.validation, Validation::Moderate);
    assert_eq!(options_text(None, Validation::Strict), "{}");
    assert!(of_options("{}").unwrap().is_none());
    assert!(of_options("[").is_err());
    assert_eq!(Validation::of_name("OFF"), Some(Validation::Off));
    assert!(SCHEMA_BYTES_MAX < ParseLimits::default().size);
}
