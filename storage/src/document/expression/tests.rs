//! MongoDB's meaning of each operator, as tables.

use super::super::codec::{RawObject, ValueRef};
use super::super::json::{ParseLimits, parse_value, render_value};
use super::super::value::{Object, Value};
use super::{Expression, ExpressionLimits, Root, Scope, Watch};

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
    Scope { root: Root::Packed(root), now_ms: 1_700_000_000_000, variables: &[], watch: None }
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
            (r#"{"$and":["$a","$n",{"$divide":[1,"$zero"]}]}"#, "false"),
            (r#"{"$and":["$n",{"$divide":[1,0]}]}"#, "error $divide"),
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

#[test]
fn text() {
    check(
        r#"{"s":"Hello","n":null,"u":"Ros\u00e9"}"#,
        &[
            (r#"{"$concat":["$s"," ","x"]}"#, r#""Hello x""#),
            (r#"{"$concat":["$s","$x",5]}"#, "null"),
            (r#"{"$concat":["$s",5]}"#, "error $concat"),
            (r#"{"$toUpper":"$u"}"#, "\"ROSé\""),
            (r#"{"$toLower":null}"#, r#""""#),
            (r#"{"$toUpper":[[1]]}"#, "error $toUpper"),
            (r#"{"$substrCP":["$u",3,1]}"#, "\"é\""),
            (r#"{"$substrBytes":["$u",3,1]}"#, "error $substrBytes"),
            (r#"{"$substrBytes":["$s",1,-1]}"#, r#""ello""#),
            (r#"{"$strLenBytes":"$u"}"#, "5"),
            (r#"{"$strLenCP":"$u"}"#, "4"),
            (r#"{"$strLenCP":"$n"}"#, "error $strLenCP"),
            (r#"{"$indexOfCP":["$u","é"]}"#, "3"),
            (r#"{"$indexOfBytes":["$s","l",3]}"#, "3"),
            (r#"{"$indexOfBytes":["$s","z"]}"#, "-1"),
            (r#"{"$split":["a,b,",","]}"#, r#"["a","b",""]"#),
            (r#"{"$split":["a",""]}"#, "error $split"),
            (r#"{"$trim":{"input":" \n x\t"}}"#, r#""x""#),
            (r#"{"$ltrim":{"input":"xxaxx","chars":"x"}}"#, r#""axx""#),
            (r#"{"$replaceAll":{"input":"aXbX","find":"X","replacement":"-"}}"#, r#""a-b-""#),
            (r#"{"$replaceOne":{"input":"$n","find":"X","replacement":"-"}}"#, "null"),
            (r#"{"$strcasecmp":["one","TWO"]}"#, "-1"),
            (r#"{"$trim":{"chars":"x"}}"#, "error $trim"),
            (r#"{"$trim":{"input":"x","nope":1}}"#, "error nope"),
        ],
    );
}

#[test]
fn regular_expressions() {
    check(
        r#"{"s":"ros\u00e9 au lait","p":"a."}"#,
        &[
            (r#"{"$regexMatch":{"input":"$s","regex":"^ROS","options":"i"}}"#, "true"),
            (r#"{"$regexMatch":{"input":"$x","regex":"a"}}"#, "false"),
            (r#"{"$regexFind":{"input":"$s","regex":"a(u)(z)?"}}"#, r#"{"match":"au","idx":5,"captures":["u",null]}"#),
            (r#"{"$regexFind":{"input":"$s","regex":"z"}}"#, "null"),
            (
                r#"{"$regexFindAll":{"input":"aXbX","regex":"X"}}"#,
                r#"[{"match":"X","idx":1,"captures":[]},{"match":"X","idx":3,"captures":[]}]"#,
            ),
            (
                r#"{"$regexFindAll":{"input":"ab","regex":""}}"#,
                r#"[{"match":"","idx":0,"captures":[]},{"match":"","idx":1,"captures":[]}]"#,
            ),
            (r#"{"$regexMatch":{"input":"$s","regex":"$p"}}"#, "true"),
            (r#"{"$regexMatch":{"input":5,"regex":"a"}}"#, "error $regexMatch"),
            (r#"{"$regexMatch":{"input":"$s","regex":"("}}"#, "error $regexMatch"),
        ],
    );
}

#[test]
fn arrays() {
    check(
        r#"{"a":[3,1,2],"o":{"x":1,"y":[2]},"n":null,"d":[{"k":2,"v":"b"},{"k":1,"v":"a"}]}"#,
        &[
            (r#"{"$arrayElemAt":["$a",-1]}"#, "2"),
            (r#"{"$arrayElemAt":["$a",9]}"#, "missing"),
            (r#"{"$first":"$a"}"#, "3"),
            (r#"{"$lastN":{"n":2,"input":"$a"}}"#, "[1,2]"),
            (r#"{"$maxN":{"n":2,"input":"$a"}}"#, "[3,2]"),
            (r#"{"$size":"$a"}"#, "3"),
            (r#"{"$size":"$n"}"#, "error $size"),
            (r#"{"$in":[1,"$a"]}"#, "true"),
            (r#"{"$in":[1,"$n"]}"#, "error $in"),
            (r#"{"$indexOfArray":["$a",2]}"#, "2"),
            (r#"{"$slice":["$a",1,5]}"#, "[1,2]"),
            (r#"{"$slice":["$a",-2]}"#, "[1,2]"),
            (r#"{"$range":[0,10,4]}"#, "[0,4,8]"),
            (r#"{"$range":[0,1,0]}"#, "error $range"),
            (r#"{"$range":[0,2147483647]}"#, "error $range"),
            (r#"{"$reverseArray":"$a"}"#, "[2,1,3]"),
            (r#"{"$concatArrays":["$a",[9]]}"#, "[3,1,2,9]"),
            (r#"{"$concatArrays":["$a","$n"]}"#, "null"),
            (r#"{"$zip":{"inputs":["$a",["x"]]}}"#, r#"[[3,"x"]]"#),
            (
                r#"{"$zip":{"inputs":["$a",["x"]],"useLongestLength":true,"defaults":[0,"-"]}}"#,
                r#"[[3,"x"],[1,"-"],[2,"-"]]"#,
            ),
            (r#"{"$objectToArray":"$o"}"#, r#"[{"k":"x","v":1},{"k":"y","v":[2]}]"#),
            (r#"{"$arrayToObject":[[["a",1],["b",2]]]}"#, r#"{"a":1,"b":2}"#),
            (r#"{"$filter":{"input":"$a","cond":{"$gt":["$$this",1]}}}"#, "[3,2]"),
            (r#"{"$filter":{"input":"$a","as":"e","cond":{"$gt":["$$e",1]},"limit":1}}"#, "[3]"),
            (r#"{"$map":{"input":"$a","in":{"$multiply":["$$this",2]}}}"#, "[6,2,4]"),
            (r#"{"$map":{"input":"$n","in":1}}"#, "null"),
            (r#"{"$map":{"input":"$o","in":1}}"#, "error $map"),
            (r#"{"$reduce":{"input":"$a","initialValue":0,"in":{"$add":["$$value","$$this"]}}}"#, "6"),
            (r#"{"$sortArray":{"input":"$a","sortBy":1}}"#, "[1,2,3]"),
            (r#"{"$sortArray":{"input":"$d","sortBy":{"k":1}}}"#, r#"[{"k":1,"v":"a"},{"k":2,"v":"b"}]"#),
        ],
    );
}

#[test]
fn work_and_depth_are_bounded() {
    let nested = r#"{"$reduce":{"input":{"$range":[0,"$n"]},"initialValue":1,"in":["$$value"]}}"#;
    let doubled =
        r#"{"$reduce":{"input":{"$range":[0,"$n"]},"initialValue":[1],"in":{"$concatArrays":["$$value","$$value"]}}}"#;
    let longer =
        r#"{"$reduce":{"input":{"$range":[0,"$n"]},"initialValue":"x","in":{"$concat":["$$value","$$value"]}}}"#;
    let copied = r#"{"$map":{"input":{"$range":[0,"$n"]},"in":{"$range":[0,1000]}}}"#;
    let often = r#"{"$map":{"input":{"$range":[0,100000]},"in":{"$map":{"input":{"$range":[0,"$n"]},"in":1}}}}"#;
    check(
        r#"{"n":100000}"#,
        &[
            (nested, "error levels"),
            (doubled, "error work"),
            (longer, "error bytes"),
            (often, "error work"),
            (copied, "error work"),
        ],
    );
}

#[test]
fn sets_and_objects() {
    check(
        r#"{"a":[1,2,2],"o":{"x":1,"a.b":2},"n":null}"#,
        &[
            (r#"{"$setUnion":["$a",[3,1]]}"#, "[1,2,3]"),
            (r#"{"$setIntersection":["$a",[2,3]]}"#, "[2]"),
            (r#"{"$setDifference":["$a",[1]]}"#, "[2]"),
            (r#"{"$setEquals":["$a",[2,1]]}"#, "true"),
            (r#"{"$setIsSubset":[[1],"$a"]}"#, "true"),
            (r#"{"$anyElementTrue":[[0,false]]}"#, "false"),
            (r#"{"$allElementsTrue":[[]]}"#, "true"),
            (r#"{"$setUnion":["$a","$n"]}"#, "null"),
            (r#"{"$getField":{"field":"a.b","input":"$o"}}"#, "2"),
            (r#"{"$getField":"n"}"#, "null"),
            (r#"{"$setField":{"field":"$x","input":"$o","value":1}}"#, "error $setField"),
            (r#"{"$setField":{"field":"y","input":"$o","value":3}}"#, r#"{"x":1,"a.b":2,"y":3}"#),
            (r#"{"$unsetField":{"field":"x","input":"$o"}}"#, r#"{"a.b":2}"#),
            (r#"{"$mergeObjects":["$o",{"x":5},"$n"]}"#, r#"{"x":5,"a.b":2}"#),
        ],
    );
}

#[test]
fn dates() {
    check(
        r#"{"d":{"$date":"2024-02-29T13:14:15.167Z"},"n":null}"#,
        &[
            (r#"{"$year":"$d"}"#, "2024"),
            (r#"{"$hour":{"date":"$d","timezone":"Europe/Paris"}}"#, "14"),
            (r#"{"$hour":{"date":"$d","timezone":"Nowhere"}}"#, "error Nowhere"),
            (r#"{"$dayOfWeek":"$d"}"#, "5"),
            (r#"{"$isoWeek":"$d"}"#, "9"),
            (r#"{"$dayOfYear":"$d"}"#, "60"),
            (r#"{"$week":"$d"}"#, "8"),
            (r#"{"$year":"$n"}"#, "null"),
            (r#"{"$year":5}"#, "error $year"),
            (r#"{"$dateToString":{"date":"$d"}}"#, r#""2024-02-29T13:14:15.167Z""#),
            (r#"{"$dateToString":{"date":"$d","format":"%d/%m/%Y %z","timezone":"+0530"}}"#, r#""29/02/2024 +0530""#),
            (r#"{"$dateToString":{"date":"$n","onNull":"-"}}"#, r#""-""#),
            (
                r#"{"$dateFromString":{"dateString":"2024-02-29T00:00:00+01:00"}}"#,
                r#"{"$date":"2024-02-28T23:00:00Z"}"#,
            ),
            (
                r#"{"$dateFromString":{"dateString":"29.2.2024","format":"%d.%m.%Y"}}"#,
                r#"{"$date":"2024-02-29T00:00:00Z"}"#,
            ),
            (r#"{"$dateFromString":{"dateString":"nope","onError":"x"}}"#, r#""x""#),
            (r#"{"$dateFromString":{"dateString":"2023-02-29"}}"#, "error $dateFromString"),
            (r#"{"$dateFromParts":{"year":2024,"month":14}}"#, r#"{"$date":"2025-02-01T00:00:00Z"}"#),
            (r#"{"$dateFromParts":{"isoWeekYear":2024,"isoWeek":1}}"#, r#"{"$date":"2024-01-01T00:00:00Z"}"#),
            (r#"{"$dateAdd":{"startDate":"$d","unit":"year","amount":1}}"#, r#"{"$date":"2025-02-28T13:14:15.167Z"}"#),
            (
                r#"{"$dateSubtract":{"startDate":"$d","unit":"hour","amount":14}}"#,
                r#"{"$date":"2024-02-28T23:14:15.167Z"}"#,
            ),
            (r#"{"$dateDiff":{"startDate":{"$toDate":"2023-12-31"},"endDate":"$d","unit":"month"}}"#, "2"),
            (
                r#"{"$dateTrunc":{"date":"$d","unit":"week","startOfWeek":"mon"}}"#,
                r#"{"$date":"2024-02-26T00:00:00Z"}"#,
            ),
            (r#"{"$dateTrunc":{"date":"$d","unit":"minute","binSize":10}}"#, r#"{"$date":"2024-02-29T13:10:00Z"}"#),
            (r#"{"$dateTrunc":{"date":"$d","unit":"fortnight"}}"#, "error fortnight"),
            (
                r#"{"$dateToParts":{"date":"$d"}}"#,
                r#"{"year":2024,"month":2,"day":29,"hour":13,"minute":14,"second":15,"millisecond":167}"#,
            ),
        ],
    );
}

#[test]
fn conversion() {
    check(
        r#"{"n":null}"#,
        &[
            (r#"{"$toInt":"42"}"#, "42"),
            (r#"{"$toInt":" 42"}"#, "error $toInt"),
            (r#"{"$toInt":1e10}"#, "error $toInt"),
            (r#"{"$toInt":-2.9}"#, "-2"),
            (r#"{"$toLong":5}"#, "5"),
            (r#"{"$toDouble":"0x1p3"}"#, "8.0"),
            (r#"{"$toDecimal":0.1}"#, r#"{"$numberDecimal":"0.100000000000000"}"#),
            (r#"{"$toBool":"false"}"#, "true"),
            (r#"{"$toString":1e20}"#, r#""1e+20""#),
            (r#"{"$toString":{"$toDate":"2024-01-01"}}"#, r#""2024-01-01T00:00:00.000Z""#),
            (r#"{"$toObjectId":"0123456789abcdef01234567"}"#, r#"{"$oid":"0123456789abcdef01234567"}"#),
            (r#"{"$convert":{"input":"x","to":"int","onError":-1}}"#, "-1"),
            (r#"{"$convert":{"input":"$n","to":"int","onNull":0}}"#, "0"),
            (r#"{"$convert":{"input":1,"to":"integer"}}"#, "error integer"),
            (r#"{"$type":"$x"}"#, r#""missing""#),
            (r#"{"$type":1}"#, r#""int""#),
            (r#"{"$isNumber":"1"}"#, "false"),
            (r#"{"$bsonSize":"$$ROOT"}"#, "8"),
        ],
    );
}

#[test]
fn numbers_of_several_values() {
    check(
        r#"{"a":[1,2,"x",null,6]}"#,
        &[
            (r#"{"$sum":"$a"}"#, "9"),
            (r#"{"$sum":["$a",1]}"#, "1"),
            (r#"{"$avg":"$a"}"#, "3.0"),
            (r#"{"$max":"$a"}"#, r#""x""#),
            (r#"{"$min":["$x",4,3]}"#, "3"),
            (r#"{"$avg":"$x"}"#, "null"),
            (r#"{"$stdDevPop":[1,3]}"#, "1.0"),
            (r#"{"$median":{"input":"$a","method":"approximate"}}"#, "2.0"),
            (r#"{"$sum":[1e100,1,-1e100]}"#, "1.0"),
            (r#"{"$bitAnd":[6,3]}"#, "2"),
            (r#"{"$bitNot":0}"#, "-1"),
            (r#"{"$atan2":[0,1]}"#, "0.0"),
            (r#"{"$acos":2}"#, "error $acos"),
        ],
    );
}

#[test]
fn the_table() {
    let all: Vec<&super::Operator> = super::OPERATORS.iter().flat_map(|(_, family)| family.iter()).collect();
    for operator in &all {
        assert!(operator.name.starts_with('$'), "{}", operator.name);
        assert!(operator.summary.ends_with('.'), "{}: {}", operator.name, operator.summary);
        assert_eq!(all.iter().filter(|other| other.name == operator.name).count(), 1, "{}", operator.name);
    }
    let operand = |name| all.iter().find(|operator| operator.name == name).map(|operator| operator.operand());
    for (name, expected) in [
        ("$abs", "a"),
        ("$round", "[a, b?]"),
        ("$divide", "[a, b]"),
        ("$add", "[a, ...]"),
        ("$setEquals", "[a, b, ...]"),
        ("$zip", "{inputs, useLongestLength?, defaults?}"),
        ("$map", "{input, as?, in}"),
    ] {
        assert_eq!(operand(name).as_deref(), Some(expected), "{name}");
    }
    for (variable, _) in super::VARIABLES {
        let parsed = Expression::parse(ValueRef::String(variable), &ExpressionLimits::default());
        assert!(parsed.is_ok(), "{variable}");
    }
}

#[test]
fn constants_are_bounded_as_well() {
    let ranges = vec![r#"{"$range":[0,1000000]}"#; 500].join(",");
    check("{}", &[(&format!(r#"{{"$concatArrays":[{ranges}]}}"#), "error work"), (r#"{"$add":[1,{"$abs":-2}]}"#, "3")]);
}

#[test]
fn long_constants_are_counted_each_time() {
    let range = r#"{"$range":[0,1000000]}"#;
    let many = |what: &str| format!(r#"{{"$map":{{"input":{{"$range":[0,1000]}},"in":{what}}}}}"#);
    check(
        "{}",
        &[
            (&many(&format!(r#"{{"$in":[-1,{range}]}}"#)), "error work"),
            (&many(&format!(r#"{{"$setIsSubset":[["$$this"],{range}]}}"#)), "error work"),
            (&many(&format!(r#"{{"$indexOfArray":[{range},{{"$add":["$$this",-5]}}]}}"#)), "error work"),
            (&format!(r#"{{"$in":["x",{range}]}}"#), "false"),
        ],
    );
}

/// Over once it was asked.
#[derive(Debug, Default)]
struct Asked(std::cell::Cell<u64>);

impl Watch for Asked {
    fn is_over(&self) -> bool {
        self.0.set(self.0.get() + 1);
        true
    }
}

#[test]
fn a_long_evaluation_is_ended() {
    let empty = Object::default();
    let value = |to: u64| {
        let asked = Asked::default();
        let text = format!(r#"{{"$size":{{"$map":{{"input":{{"$range":[0,{to}]}},"in":{{"$add":["$$this",1]}}}}}}}}"#);
        let packed = parse_value(text.as_bytes(), ParseLimits::default()).unwrap();
        let expression = Expression::parse(packed.get(), &ExpressionLimits::default()).unwrap();
        let scope = Scope { root: Root::Owned(&empty), now_ms: 0, variables: &[], watch: Some(&asked) };
        let value = expression.evaluate(&scope);
        (value, asked.0.get())
    };
    let (short, asked) = value(10);
    assert!(matches!(short, Ok(Some(Value::Int32(10)))) && asked == 0);
    let (long, asked) = value(100_000);
    assert!(long.unwrap_err().0.contains("nobody waits") && asked == 1);
}
