//! MongoDB's meaning of each operator, as tables.

use super::super::codec::{RawObject, ValueRef};
use super::super::json::{ParseLimits, parse_value, render_value};
use super::{Expression, ExpressionLimits, Root, Scope};

/// The value as JSON text; `missing`, or `error: ..`.
pub(super) fn value(expression: &str, document: &str) -> String {
    let packed =
        parse_value(expression.as_bytes(), ParseLimits::default()).unwrap_or_else(|e| panic!("{expression}: {e}"));
    let document = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
    let ValueRef::Object(root) = document.get() else { panic!("not an object") };
    let expression = match Expression::parse(packed.get(), &ExpressionLimits::default()) {
        Ok(expression) => expression,
        Err(error) => return format!("error: {error}"),
    };
    match expression.evaluate(&scope(root)) {
        Ok(None) => "missing".into(),
        Ok(Some(value)) => {
            let mut out = Vec::new();
            render_value(&mut out, super::super::codec::pack_value(&value).get());
            String::from_utf8(out).unwrap()
        }
        Err(error) => format!("error: {error}"),
    }
}

fn scope(root: RawObject<'_>) -> Scope<'_> {
    Scope { root: Root::Packed(root), now_ms: 1_700_000_000_000, variables: &[] }
}

/// Checks expressions on one document: what each gives.
pub(super) fn check(document: &str, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let found = value(expression, document);
        let error = expected.strip_prefix("error");
        let good = if error.is_some() {
            found.starts_with("error: ") && found.contains(expected.trim_start_matches("error").trim())
        } else {
            found == *expected
        };
        assert!(good, "{expression} on {document} gives {found}, not {expected}");
    }
}

#[test]
fn paths_and_variables() {
    check(
        r#"{"a":{"b":1,"c":[{"d":1},{"e":2},5,[{"d":3}],{"d":4}]},"n":null}"#,
        &[
            (r#""$a.b""#, "1"),
            (r#""$a.x""#, "missing"),
            (r#""$a.b.x""#, "missing"),
            (r#""$a.c.d""#, "[1,4]"),
            (r#""$a.c.0""#, "[]"),
            (r#""$$ROOT.a.b""#, "1"),
            (r#""$$CURRENT.a.b""#, "1"),
            (r#""$$NOW""#, r#"{"$date":"2023-11-14T22:13:20Z"}"#),
            (r#""$$REMOVE""#, "missing"),
            (r#"{"x":"$a.b","y":"$a.x","z":"$$REMOVE"}"#, r#"{"x":1}"#),
            (r#"["$a.b","$a.x"]"#, "[1,null]"),
            (r#"{"$let":{"vars":{"x":"$a"},"in":"$$x.b"}}"#, "1"),
            (r#"{"$let":{"vars":{"x":1},"in":{"$let":{"vars":{"x":2,"y":"$$x"},"in":["$$x","$$y"]}}}}"#, "[2,1]"),
            (r#"{"$let":{"vars":{"CURRENT":"$a"},"in":"$b"}}"#, "1"),
            (r#"{"$literal":"$a"}"#, r#""$a""#),
            (r#""$""#, "error"),
            (r#""$$""#, "error"),
            (r#""$a.""#, "error"),
            (r#""$a.$b""#, "error"),
            (r#""$$x""#, "error undefined variable x"),
            (r#"{"$let":{"vars":{"X":1},"in":1}}"#, "error $let"),
            (r#"{"a.b":1}"#, "error"),
            (r#"{"$add":[1],"$abs":1}"#, "error $add"),
            (r#"{"$nope":1}"#, "error $nope"),
        ],
    );
}

#[test]
fn conditions() {
    check(
        r#"{"a":1,"n":null}"#,
        &[
            (r#"{"$cond":["$a",1,2]}"#, "1"),
            (r#"{"$cond":{"if":"$x","then":1,"else":{"$divide":[6,2]}}}"#, "3.0"),
            (r#"{"$ifNull":["$x","$n",5]}"#, "5"),
            (r#"{"$ifNull":["$n","$x"]}"#, "missing"),
            (r#"{"$switch":{"branches":[{"case":false,"then":1},{"case":"$a","then":2}],"default":3}}"#, "2"),
            (r#"{"$switch":{"branches":[{"case":false,"then":1}]}}"#, "error $switch"),
            (r#"{"$cond":[1,2]}"#, "error $cond"),
            (r#"{"$and":[]}"#, "true"),
            (r#"{"$or":[]}"#, "false"),
            (r#"{"$and":["$a","$n",{"$divide":[1,0]}]}"#, "false"),
            (r#"{"$not":["$x"]}"#, "true"),
            (r#"{"$eq":["$x",null]}"#, "false"),
            (r#"{"$lt":["$x",null]}"#, "true"),
            (r#"{"$gt":["a",1]}"#, "true"),
            (r#"{"$cmp":[[1,2],[1]]}"#, "1"),
            (r#"{"$eq":[{"x":1,"y":2},{"y":2,"x":1}]}"#, "false"),
        ],
    );
}

#[test]
fn arithmetic() {
    check(
        r#"{"i":2147483647,"l":9223372036854775807,"d":{"$numberDecimal":"2.5"},"t":{"$date":1000}}"#,
        &[
            (r#"{"$add":["$i",1]}"#, "2147483648"),
            (r#"{"$add":["$l",1]}"#, "9.223372036854776e18"),
            (r#"{"$add":[1.5,"$d"]}"#, r#"{"$numberDecimal":"4.00000000000000"}"#),
            (r#"{"$add":["$t",500]}"#, r#"{"$date":"1970-01-01T00:00:01.500Z"}"#),
            (r#"{"$add":[1,null,"x"]}"#, "null"),
            (r#"{"$add":[1,"x"]}"#, "error $add"),
            (r#"{"$subtract":["$t",{"$toDate":1}]}"#, "error"),
            (r#"{"$divide":[6,4]}"#, "1.5"),
            (r#"{"$divide":[6,0]}"#, "error $divide"),
            (r#"{"$mod":[-7,3]}"#, "-1"),
            (r#"{"$mod":[7,2.5]}"#, "2.0"),
            (r#"{"$multiply":["$i",2]}"#, "4294967294"),
            (r#"{"$pow":[2,10]}"#, "1024"),
            (r#"{"$pow":[2,-1]}"#, "0.5"),
            (r#"{"$round":[15,-1]}"#, "20"),
            (r#"{"$round":[1.25,1]}"#, "1.2"),
            (r#"{"$trunc":[-1.99,1]}"#, "-1.9"),
            (r#"{"$sqrt":25}"#, "5.0"),
            (r#"{"$log":[8,2]}"#, "3.0"),
            (r#"{"$ln":0}"#, "error $ln"),
        ],
    );
}
