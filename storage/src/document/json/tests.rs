//! JSON in, JSON out.

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::document::codec::{RawObject, pack_value};
use crate::document::value::{Decimal128, Object, Value};

fn round(text: &str) -> Result<String, Error> {
    let packed = parse_value(text.as_bytes(), ParseLimits::default())?;
    let mut out = Vec::new();
    render_value(&mut out, packed.get());
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn values_read_back() {
    for (text, back) in [
        ("null", "null"),
        (" [ 1 , 2.0 , -0 , -0.0, 1e300, 1.5e-9 ] ", "[1,2.0,-0.0,-0.0,1e300,1.5e-9]"),
        ("[9223372036854775807,-9223372036854775808]", "[9223372036854775807,-9223372036854775808]"),
        ("9223372036854775808", "9.223372036854776e18"),
        ("0.1", "0.1"),
        ("7205759403792793e1", "7.205759403792793e16"),
        (r#""\u00e9\ud83d\ude00\n\u0001\/\"""#, "\"\u{e9}\u{1f600}\\n\\u0001/\\\"\""),
        (r#"{"a":1,"b":2,"a":{"c":3}}"#, r#"{"a":{"c":3},"b":2}"#),
        (r#"{"abcdefgh1":1,"abcdefgh2":2}"#, r#"{"abcdefgh1":1,"abcdefgh2":2}"#),
        (r#"{"":1,"a\u0000b":2}"#, r#"{"":1,"a\u0000b":2}"#),
        (r#"{"a":{"x":1,"x":[{"y":1,"y":2}]}}"#, r#"{"a":{"x":[{"y":2}]}}"#),
        (r#"{"$oid":"0123456789abcdef01234567"}"#, r#"{"$oid":"0123456789abcdef01234567"}"#),
        (r#"{"$date":"2024-02-29T23:59:59.5+02:00"}"#, r#"{"$date":"2024-02-29T21:59:59.500Z"}"#),
        (r#"{"$date":0}"#, r#"{"$date":"1970-01-01T00:00:00Z"}"#),
        (r#"{"$date":{"$numberLong":"-1"}}"#, r#"{"$date":{"$numberLong":"-1"}}"#),
        (r#"{"$date":253402300799999}"#, r#"{"$date":"9999-12-31T23:59:59.999Z"}"#),
        (r#"{"$date":253402300800000}"#, r#"{"$date":{"$numberLong":"253402300800000"}}"#),
        (r#"[{"$numberInt":"5"},{"$numberLong":"6"},{"$numberDouble":"7"}]"#, "[5,6,7.0]"),
        (r#"{"$numberDouble":"NaN"}"#, r#"{"$numberDouble":"NaN"}"#),
        (r#"{"$numberDouble":"-Infinity"}"#, r#"{"$numberDouble":"-Infinity"}"#),
        (r#"{"$numberDecimal":"1.50"}"#, r#"{"$numberDecimal":"1.50"}"#),
        (r#"{"$binary":{"base64":"AQI=","subType":"00"}}"#, r#"{"$binary":{"base64":"AQI=","subType":"00"}}"#),
        (
            r#"{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}"#,
            r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#,
        ),
        (
            r#"{"$regularExpression":{"pattern":"^a","options":"xi"}}"#,
            r#"{"$regularExpression":{"pattern":"^a","options":"ix"}}"#,
        ),
        (r#"{"$timestamp":{"t":4294967295,"i":1}}"#, r#"{"$timestamp":{"t":4294967295,"i":1}}"#),
        (r#"[{"$minKey":1},{"$maxKey":1}]"#, r#"[{"$minKey":1},{"$maxKey":1}]"#),
        (r#"{"$regex":"^a","$options":"i"}"#, r#"{"$regex":"^a","$options":"i"}"#),
    ] {
        assert_eq!(round(text).unwrap(), back, "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (text, message) in [
        ("", "not JSON: EOF while parsing a value at byte 0"),
        ("{\"a\":1", "not JSON: EOF while parsing an object at byte 6"),
        ("[1 2]", "not JSON: expected `,` or `]` at byte 3"),
        ("[1,\n 2,]", "not JSON: trailing comma at byte 7"),
        ("{} x", "not JSON: trailing characters at byte 3"),
        (r#"{"$oid":"12"}"#, "bad $oid before byte 13: expected 24 hexadecimal digits"),
        (r#"{"$oid":"0123456789abcdef01234567","a":1}"#, "bad $oid before byte 38: it must be the only member"),
    ] {
        assert_eq!(round(text).unwrap_err().to_string(), message, "{text}");
    }
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        "\"\u{1}\"",
        "01",
        "+1",
        "1.",
        ".5",
        "NaN",
        "1e999",
        "tru",
        "'a'",
        "{a:1}",
        "[1,]",
        "\u{feff}1",
        r#"{"$date":"2024-01-01"}"#,
        r#"{"$date":{"$date":{"$date":{"$date":1}}}}"#,
        r#"{"$numberInt":"2147483648"}"#,
        r#"{"$numberDouble":"inf"}"#,
        r#"{"$binary":{"base64":"?","subType":"00"}}"#,
        r#"{"$minKey":2}"#,
    ] {
        assert!(matches!(round(text), Err(Error::BadDocument(_))), "{text}");
    }
    let invalid = parse_value(b"\"\xff\"", ParseLimits::default()).unwrap_err();
    assert_eq!(invalid.to_string(), "not UTF-8 at byte 1");
}

#[test]
fn depth_and_size_have_exact_bounds() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert!(round(&nested(128)).is_ok());
        assert!(matches!(round(&nested(129)), Err(Error::TooBig(_))));
        assert!(matches!(round(&open.repeat(100_000)), Err(Error::TooBig(_))));
    }
    let typed = format!("{}{{\"$date\":1}}{}", "[".repeat(128), "]".repeat(128));
    assert!(round(&typed).is_ok(), "a typed value is no level");
    assert!(round(&"{\"$date\":".repeat(100_000)).is_err());
    let limits = ParseLimits { size: 4, depth: 1 };
    assert!(parse_value(b"1234", limits).is_ok());
    assert!(matches!(parse_value(b"12345", limits), Err(Error::TooBig(_))));
}

fn document(text: &str, ids: IdSource<'_>) -> Result<(String, String), Error> {
    let parsed = parse_document(text.as_bytes(), ParseLimits::default(), ids)?;
    let mut out = Vec::new();
    render_object(&mut out, RawObject::from_body(&parsed.body));
    Ok((String::from_utf8(parsed.id).unwrap(), String::from_utf8(out).unwrap()))
}

#[test]
fn documents_have_their_id_first() {
    let make = || "made".to_owned();
    for (text, given, id, body) in [
        (r#"{"a":1}"#, Some("x"), "x", r#"{"_id":"x","a":1}"#),
        (r#"{}"#, Some("x"), "x", r#"{"_id":"x"}"#),
        (r#"{"a":1,"_id":5,"b":2}"#, Some("5"), "5", r#"{"_id":5,"a":1,"b":2}"#),
        (r#"{"_id":"k","a":1}"#, None, "k", r#"{"_id":"k","a":1}"#),
        (r#"{"a":1}"#, None, "made", r#"{"_id":"made","a":1}"#),
    ] {
        let ids = given.map_or(IdSource::Generate(&make), IdSource::Given);
        assert_eq!(document(text, ids).unwrap(), (id.to_owned(), body.to_owned()), "{text}");
    }
    for (text, given) in
        [("[1]", Some("x")), ("5", None), (r#"{"_id":"y"}"#, Some("x")), (r#"{"_id":null}"#, None), ("{}", Some(""))]
    {
        let ids = given.map_or(IdSource::Generate(&make), IdSource::Given);
        assert!(matches!(document(text, ids), Err(Error::BadDocument(_))), "{text}");
    }
}

/// Any value that JSON text can carry exactly.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        Just(Value::MinKey),
        Just(Value::MaxKey),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::integer),
        (-3i64..3).prop_map(Value::integer),
        any::<f64>().prop_map(Value::Double),
        (-3i32..3).prop_map(|n| Value::Double(f64::from(n) / 2.0)),
        (any::<i32>(), 0u32..4).prop_map(|(n, scale)| {
            let text = format!("{n}E-{scale}");
            Value::Decimal(text.parse::<Decimal128>().unwrap())
        }),
        ".{0,12}".prop_map(Value::String),
        any::<[u8; 12]>().prop_map(Value::ObjectId),
        any::<i64>().prop_map(Value::Date),
        (0i64..300_000_000_000_000).prop_map(Value::Date),
        (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(subtype, bytes)| Value::Binary { subtype, bytes }),
        any::<(u32, u32)>().prop_map(|(seconds, increment)| Value::Timestamp { seconds, increment }),
        "[a-z]{0,5}".prop_map(|pattern| Value::Regex { pattern, options: "i".into() }),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z\\PC]{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(Object(members.into_iter().collect()))),
        ]
    })
}

proptest! {
    #[test]
    fn json_round_trips(value in any_value()) {
        let packed = pack_value(&value);
        let mut text = Vec::new();
        render_value(&mut text, packed.get());
        let again = parse_value(&text, ParseLimits::default()).unwrap();
        let mut text_again = Vec::new();
        render_value(&mut text_again, again.get());
        prop_assert_eq!(String::from_utf8(text).unwrap(), String::from_utf8(text_again).unwrap());
        prop_assert!(crate::document::order::compare(packed.get(), again.get()).is_eq());
    }

    #[test]
    fn agrees_with_serde_json(text in "[\\[\\]{}\",:0-9eE.+\\-tfn \\\\u]{0,24}") {
        let ours = parse_value(text.as_bytes(), ParseLimits::default());
        prop_assert_eq!(ours.is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
    }
}
