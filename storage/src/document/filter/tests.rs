//! MongoDB's meaning of each operator, as tables.

use super::super::codec::ValueRef;
use super::super::json::{ParseLimits, parse_value};
use super::{FIELD, Filter, FilterLimits, TREE};

fn matches(filter: &str, document: &str) -> bool {
    let filter = Filter::parse(filter.as_bytes(), &FilterLimits::default()).unwrap_or_else(|e| panic!("{filter}: {e}"));
    let packed = parse_value(document.as_bytes(), ParseLimits::default()).unwrap();
    let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
    filter.matches(root)
}

fn check(filter: &str, yes: &[&str], no: &[&str]) {
    for document in yes {
        assert!(matches(filter, document), "{filter} must match {document}");
    }
    for document in no {
        assert!(!matches(filter, document), "{filter} must not match {document}");
    }
}

#[test]
fn equality() {
    check("{}", &["{}", r#"{"a":1}"#], &[]);
    check(r#"{"a":1}"#, &[r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":[2,1]}"#], &[r#"{"a":"1"}"#, "{}", r#"{"a":[[1]]}"#]);
    check(r#"{"a":null}"#, &["{}", r#"{"a":null}"#, r#"{"a":[1,null]}"#], &[r#"{"a":[]}"#, r#"{"a":0}"#]);
    check(
        r#"{"a.b":null}"#,
        &["{}", r#"{"a":5}"#, r#"{"a":[{"c":1}]}"#],
        &[r#"{"a":[]}"#, r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#],
    );
    check(r#"{"a":[1,2]}"#, &[r#"{"a":[1,2]}"#, r#"{"a":[[1,2]]}"#], &[r#"{"a":[2,1]}"#, r#"{"a":[1,2,3]}"#]);
    check(
        r#"{"a":{"x":1,"y":2}}"#,
        &[r#"{"a":{"x":1,"y":2}}"#],
        &[r#"{"a":{"y":2,"x":1}}"#, r#"{"a":{"x":1,"y":2,"z":3}}"#],
    );
    check(r#"{"a":[]}"#, &[r#"{"a":[]}"#, r#"{"a":[[]]}"#], &[r#"{"a":[1]}"#, "{}"]);
    check(r#"{"a":{}}"#, &[r#"{"a":{}}"#], &[r#"{"a":{"b":1}}"#, "{}"]);
    check(r#"{"a":{"$eq":null}}"#, &["{}"], &[r#"{"a":1}"#]);
    check(r#"{"a":{"$date":5}}"#, &[r#"{"a":{"$date":5}}"#], &[r#"{"a":5}"#]);
    check(r#"{"a":1,"b":2}"#, &[r#"{"b":2,"a":1}"#], &[r#"{"a":1}"#]);
}

#[test]
fn inequality_negates_the_whole() {
    check(r#"{"a":{"$ne":1}}"#, &["{}", r#"{"a":2}"#, r#"{"a":[]}"#], &[r#"{"a":1}"#, r#"{"a":[1,2]}"#]);
    check(r#"{"a":{"$ne":null}}"#, &[r#"{"a":1}"#, r#"{"a":[]}"#], &["{}", r#"{"a":null}"#, r#"{"a":[null]}"#]);
    check(r#"{"a":{"$nin":[1,null]}}"#, &[r#"{"a":2}"#], &["{}", r#"{"a":[1]}"#]);
    check(r#"{"a":{"$not":{"$gt":5}}}"#, &["{}", r#"{"a":5}"#, r#"{"a":"x"}"#], &[r#"{"a":6}"#, r#"{"a":[1,6]}"#]);
    check(
        r#"{"a":{"$not":{"$regularExpression":{"pattern":"^x","options":""}}}}"#,
        &["{}", r#"{"a":"y"}"#],
        &[r#"{"a":"xy"}"#],
    );
}

#[test]
fn ranges_stay_in_their_type() {
    check(
        r#"{"a":{"$gt":1}}"#,
        &[r#"{"a":2}"#, r#"{"a":1.5}"#, r#"{"a":[0,3]}"#],
        &[r#"{"a":1}"#, r#"{"a":"2"}"#, r#"{"a":null}"#, "{}", r#"{"a":true}"#],
    );
    check(r#"{"a":{"$gte":1,"$lt":3}}"#, &[r#"{"a":1}"#, r#"{"a":2.9}"#, r#"{"a":[0,4]}"#], &[r#"{"a":3}"#]);
    check(r#"{"a":{"$gt":null}}"#, &[], &["{}", r#"{"a":null}"#, r#"{"a":1}"#]);
    check(r#"{"a":{"$gte":null}}"#, &["{}", r#"{"a":null}"#], &[r#"{"a":1}"#]);
    check(r#"{"a":{"$lt":"b"}}"#, &[r#"{"a":"a"}"#, r#"{"a":""}"#], &[r#"{"a":1}"#, r#"{"a":"b"}"#]);
    check(r#"{"a":{"$gt":9007199254740992.0}}"#, &[r#"{"a":9007199254740993}"#], &[r#"{"a":9007199254740992}"#]);
    check(r#"{"a":{"$lt":1}}"#, &[r#"{"a":0}"#], &[r#"{"a":{"$numberDouble":"NaN"}}"#]);
    check(r#"{"a":{"$lte":{"$numberDouble":"NaN"}}}"#, &[r#"{"a":{"$numberDouble":"NaN"}}"#], &[r#"{"a":0}"#]);
    check(
        r#"{"a":{"$gt":[1]}}"#,
        &[r#"{"a":[2]}"#, r#"{"a":[1,0]}"#, r#"{"a":[[2]]}"#],
        &[r#"{"a":[0,5]}"#, r#"{"a":5}"#],
    );
    check(r#"{"a":{"$gt":{"$minKey":1}}}"#, &[r#"{"a":1}"#, r#"{"a":"x"}"#], &[r#"{"a":{"$minKey":1}}"#]);
    check(r#"{"a":{"$gt":{"$minKey":1}}}"#, &["{}", r#"{"a":null}"#], &[]);
    check(r#"{"a":{"$gte":{"$date":5}}}"#, &[r#"{"a":{"$date":5}}"#], &[r#"{"a":6}"#]);
}

#[test]
fn lists() {
    check(r#"{"a":{"$in":[1,"x",null]}}"#, &[r#"{"a":1.0}"#, r#"{"a":"x"}"#, "{}", r#"{"a":[5,1]}"#], &[r#"{"a":2}"#]);
    check(r#"{"a":{"$in":[]}}"#, &[], &["{}", r#"{"a":1}"#]);
    check(r#"{"a":{"$in":[[1,2]]}}"#, &[r#"{"a":[1,2]}"#], &[r#"{"a":1}"#]);
    check(
        r#"{"a":{"$in":[{"$regularExpression":{"pattern":"^f","options":"i"}}]}}"#,
        &[r#"{"a":"Foo"}"#],
        &[r#"{"a":"o"}"#],
    );
}

#[test]
fn elements() {
    check(r#"{"a":{"$exists":true}}"#, &[r#"{"a":null}"#, r#"{"a":[]}"#], &["{}"]);
    check(
        r#"{"a.b":{"$exists":false}}"#,
        &["{}", r#"{"a":[]}"#, r#"{"a":1}"#, r#"{"a":[{"c":1}]}"#],
        &[r#"{"a":[{"b":1},{}]}"#],
    );
    check(r#"{"a":{"$type":"number"}}"#, &[r#"{"a":1}"#, r#"{"a":1.5}"#, r#"{"a":["x",1]}"#], &[r#"{"a":"1"}"#, "{}"]);
    check(r#"{"a":{"$type":"int"}}"#, &[r#"{"a":1}"#], &[r#"{"a":1.0}"#, r#"{"a":5000000000}"#]);
    check(r#"{"a":{"$type":["array",10]}}"#, &[r#"{"a":[1]}"#, r#"{"a":null}"#], &["{}", r#"{"a":1}"#]);
    check(r#"{"a":{"$type":-1}}"#, &[r#"{"a":{"$minKey":1}}"#], &[r#"{"a":1}"#]);
}

#[test]
fn patterns() {
    check(
        r#"{"a":{"$regex":"^b.r$"}}"#,
        &[r#"{"a":"bar"}"#, r#"{"a":["x","ber"]}"#],
        &[r#"{"a":"bark"}"#, r#"{"a":1}"#, "{}"],
    );
    check(r#"{"a":{"$regex":"BAR","$options":"i"}}"#, &[r#"{"a":"foobar"}"#], &[r#"{"a":"ba"}"#]);
    check(r#"{"a":{"$options":"i","$regex":"BAR"}}"#, &[r#"{"a":"foobar"}"#], &[]);
    check(r#"{"a":{"$regex":"^b","$options":"m"}}"#, &[r#"{"a":"a\nb"}"#], &[]);
    check(r#"{"a":{"$regex":"a.b","$options":"s"}}"#, &[r#"{"a":"a\nb"}"#], &[]);
    check(r#"{"a":{"$regex":"a b # c","$options":"x"}}"#, &[r#"{"a":"ab"}"#], &[]);
    check(r#"{"a":{"$regularExpression":{"pattern":"^b","options":"i"}}}"#, &[r#"{"a":"Bar"}"#], &[r#"{"a":"a"}"#]);
}

#[test]
fn logic() {
    check(r#"{"$or":[{"a":1},{"b":2}]}"#, &[r#"{"a":1}"#, r#"{"b":2}"#], &["{}"]);
    check(r#"{"$nor":[{"a":1},{"b":2}]}"#, &["{}"], &[r#"{"a":1}"#]);
    check(r#"{"$and":[{"a":{"$gt":1}},{"a":{"$lt":3}}],"$comment":"x"}"#, &[r#"{"a":2}"#], &[r#"{"a":3}"#]);
}

#[test]
fn arrays() {
    check(r#"{"a":{"$all":[1,2]}}"#, &[r#"{"a":[2,3,1]}"#], &[r#"{"a":[1]}"#, "{}"]);
    check(r#"{"a":{"$all":[1]}}"#, &[r#"{"a":1}"#], &[]);
    check(r#"{"a":{"$all":[]}}"#, &[], &["{}", r#"{"a":[]}"#]);
    check(
        r#"{"a":{"$all":[{"$elemMatch":{"x":1}},{"$elemMatch":{"x":2}}]}}"#,
        &[r#"{"a":[{"x":1},{"x":2}]}"#],
        &[r#"{"a":[{"x":1}]}"#],
    );
    check(r#"{"a":{"$elemMatch":{"$gt":1,"$lt":3}}}"#, &[r#"{"a":[0,2]}"#], &[r#"{"a":[0,4]}"#, r#"{"a":2}"#]);
    check(
        r#"{"a":{"$elemMatch":{"x":1,"y":2}}}"#,
        &[r#"{"a":[{"x":1,"y":2}]}"#],
        &[r#"{"a":[{"x":1},{"y":2}]}"#, r#"{"a":{"x":1,"y":2}}"#],
    );
    check(r#"{"a":{"$elemMatch":{"$or":[{"x":1},{"x":3}]}}}"#, &[r#"{"a":[{"x":3}]}"#], &[r#"{"a":[{"x":2}]}"#]);
    check(r#"{"a":{"$size":2}}"#, &[r#"{"a":[1,2]}"#], &[r#"{"a":[[1,2]]}"#, r#"{"a":[1]}"#, "{}"]);
    check(
        r#"{"a":{"$mod":[4,0]}}"#,
        &[r#"{"a":8}"#, r#"{"a":8.9}"#, r#"{"a":[1,4]}"#],
        &[r#"{"a":9}"#, r#"{"a":"8"}"#],
    );
}

#[test]
fn errors_name_operator_and_path() {
    for (filter, message) in [
        ("[]", "a filter is a JSON object, not array"),
        ("{", "not JSON: EOF while parsing an object at byte 1"),
        (r#"{"a":{"$foo":1}}"#, "unknown operator $foo at a"),
        (r#"{"a":{"$gt":1,"b":2}}"#, "unknown operator b at a"),
        (r#"{"$gt":1}"#, "unknown top level operator $gt: it stands under a path"),
        (r#"{"$foo":1}"#, "unknown top level operator $foo"),
        (r#"{"a.b":{"$in":5}}"#, "$in at a.b: needs an array"),
        (r#"{"$or":[]}"#, "$or: needs at least one filter"),
        (r#"{"$or":[1]}"#, "$or: entry 0 is no object"),
        (r#"{"a":{"$type":"foo"}}"#, "$type at a: no such type: \"foo\""),
        (r#"{"a":{"$regex":"("}}"#, "$regex at a: bad regular expression: unclosed group"),
        (r#"{"a":{"$regex":"a","$options":"q"}}"#, "$regex at a: unknown option 'q'"),
        (r#"{"a":{"$options":"i"}}"#, "$options at a: needs a $regex beside it"),
        (r#"{"a":{"$not":5}}"#, "$not at a: needs an object of operators or a regular expression"),
        (r#"{"a":{"$mod":[0,1]}}"#, "$mod at a: the divisor cannot be 0"),
        (r#"{"a":{"$bitsAllSet":"x"}}"#, "$bitsAllSet at a: needs an array of bit positions, a mask or a binary"),
        (r#"{"a":{"$bitsAnySet":-1}}"#, "$bitsAnySet at a: the mask is no whole number from 0 to 2^63 - 1"),
        (r#"{"a":{"$bitsAnyClear":[-1]}}"#, "$bitsAnyClear at a: a bit position is no whole number from 0 to 2^31 - 1"),
        (r#"{"a":{"$regex":"(a)\\1"}}"#, "$regex at a: bad regular expression: back-references are not supported"),
        (r#"{"a":{"$size":-1}}"#, "$size at a: needs a whole number from 0 to 2^31 - 1"),
    ] {
        let error = Filter::parse(filter.as_bytes(), &FilterLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), message, "{filter}");
    }
    let big = Filter::parse(br#"{"a":{"$regex":"\\w{500}{500}"}}"#, &FilterLimits::default()).unwrap_err();
    assert!(big.to_string().starts_with("$regex at a: bad regular expression"), "{big}");
    let limits = FilterLimits { nodes: 3, ..FilterLimits::default() };
    assert!(Filter::parse(br#"{"a":{"$in":[1,2,3,4,5]},"b":1}"#, &limits).is_ok());
    assert!(Filter::parse(br#"{"a":1,"b":1,"c":1,"d":1}"#, &limits).is_err());
}

#[test]
fn ids_are_looked_up() {
    for (filter, keys) in [
        (r#"{"_id":"x"}"#, Some(vec!["x"])),
        (r#"{"_id":{"$eq":"x"},"a":1}"#, Some(vec!["x"])),
        (r#"{"_id":5}"#, Some(vec!["5", "5.0"])),
        (r#"{"_id":{"$in":["b","a",null]}}"#, Some(vec!["a", "b"])),
        (r#"{"$and":[{"a":1},{"_id":"x"}]}"#, Some(vec!["x"])),
        (r#"{"_id":null}"#, Some(vec![])),
        (r#"{"_id":{"$gt":"x"}}"#, None),
        (r#"{"$or":[{"_id":"x"},{"a":1}]}"#, None),
        (r#"{"_id":{"$ne":"x"}}"#, None),
        ("{}", None),
    ] {
        let filter_tree = Filter::parse(filter.as_bytes(), &FilterLimits::default()).unwrap();
        let expected = keys.map(|keys| keys.into_iter().map(|k: &str| k.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(filter_tree.id_keys(), expected, "{filter}");
    }
}

#[test]
fn every_operator_is_declared_once_and_described() {
    let mut names: Vec<&str> = FIELD.iter().flat_map(|(_, family)| family.iter()).map(|o| o.name).collect();
    names.extend(TREE.iter().map(|o| o.name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for summary in
        FIELD.iter().flat_map(|(_, family)| family.iter()).map(|o| o.summary).chain(TREE.iter().map(|o| o.summary))
    {
        assert!(summary.ends_with('.'), "{summary}");
    }
}

#[test]
fn expressions() {
    check(
        r#"{"$expr":{"$gt":["$a","$b"]}}"#,
        &[r#"{"a":2,"b":1}"#, r#"{"a":1}"#, r#"{"a":"x","b":1}"#],
        &[r#"{"a":1,"b":2}"#, "{}"],
    );
    check(r#"{"$expr":"$a","b":1}"#, &[r#"{"a":"","b":1}"#], &[r#"{"a":0,"b":1}"#, r#"{"a":1}"#]);
    check(r#"{"$or":[{"$expr":{"$eq":["$a",1]}},{"b":2}]}"#, &[r#"{"a":1}"#, r#"{"b":2}"#], &["{}"]);
    check(r#"{"$nor":[{"$expr":{"$eq":["$a",1]}}]}"#, &["{}"], &[r#"{"a":1}"#]);
    let limits = FilterLimits::default();
    for bad in [
        r#"{"$expr":{"$nope":1}}"#,
        r#"{"a":{"$expr":true}}"#,
        r#"{"a":{"$elemMatch":{"$expr":true}}}"#,
        r#"{"$expr":"$$x"}"#,
    ] {
        assert!(Filter::parse(bad.as_bytes(), &limits).is_err(), "{bad}");
    }
    let filter = Filter::parse(br#"{"$nor":[{"$expr":{"$divide":[1,"$a"]}}]}"#, &limits).unwrap();
    let packed = parse_value(br#"{"a":0}"#, ParseLimits::default()).unwrap();
    let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
    assert!(filter.test(root, 0).unwrap_err().0.starts_with("$expr: $divide"));
    let filter = Filter::parse(br#"{"$expr":{"$lt":["$a","$$NOW"]}}"#, &limits).unwrap();
    let packed = parse_value(br#"{"a":{"$date":5}}"#, ParseLimits::default()).unwrap();
    let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
    assert!(filter.test(root, 6).unwrap() && !filter.test(root, 5).unwrap());
    assert!(filter.reads_documents() && filter.paths() == [""]);
}

#[test]
fn bits() {
    check(
        r#"{"a":{"$bitsAllSet":[1,5]}}"#,
        &[r#"{"a":54}"#, r#"{"a":54.0}"#, r#"{"a":{"$numberDecimal":"54.0"}}"#, r#"{"a":[1,54]}"#],
        &[r#"{"a":20}"#, r#"{"a":54.5}"#, r#"{"a":"54"}"#, "{}", r#"{"a":null}"#],
    );
    check(r#"{"a":{"$bitsAllClear":35}}"#, &[r#"{"a":20}"#, r#"{"a":0}"#], &[r#"{"a":54}"#]);
    check(r#"{"a":{"$bitsAnySet":[1,5]}}"#, &[r#"{"a":2}"#, r#"{"a":-1}"#], &[r#"{"a":1}"#]);
    check(r#"{"a":{"$bitsAnyClear":[0,1]}}"#, &[r#"{"a":2}"#, r#"{"a":0}"#], &[r#"{"a":3}"#]);
    check(r#"{"a":{"$bitsAllSet":[200]}}"#, &[r#"{"a":-1}"#], &[r#"{"a":9223372036854775807}"#]);
    check(r#"{"a":{"$bitsAllSet":0}}"#, &[r#"{"a":5}"#], &[r#"{"a":"x"}"#, r#"{"a":1e300}"#]);
    check(r#"{"a":{"$bitsAnySet":[]}}"#, &[], &[r#"{"a":5}"#]);
    let mask = r#"{"a":{"$bitsAllSet":{"$binary":{"base64":"AAE=","subType":"00"}}}}"#;
    let binary = r#"{"a":{"$binary":{"base64":"/wE=","subType":"00"}}}"#;
    check(mask, &[r#"{"a":256}"#, binary], &[r#"{"a":1}"#]);
    check(r#"{"a":{"$bitsAllClear":[16,99]}}"#, &[binary], &[]);
}

#[test]
fn all_constants_are_looked_for_together() {
    check(
        r#"{"a.b":{"$all":[1,2]}}"#,
        &[r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":{"b":[2,1]}}"#],
        &[r#"{"a":{"b":[1]}}"#],
    );
    check(r#"{"a":{"$all":[null,1]}}"#, &[r#"{"a":[1,null]}"#], &["{}", r#"{"a":[1]}"#]);
    check(r#"{"a":{"$all":[[1,2],[1,2]]}}"#, &[r#"{"a":[1,2]}"#, r#"{"a":[[1,2]]}"#], &[r#"{"a":[1]}"#]);
    check(r#"{"a":{"$all":[1,{"$regularExpression":{"pattern":"^x","options":""}}]}}"#, &[r#"{"a":["xy",1]}"#], &[]);
    let many = |count: i32| serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap();
    let filter = format!(r#"{{"a":{{"$all":{}}}}}"#, many(20_000));
    check(&filter, &[&format!(r#"{{"a":{}}}"#, many(20_000))], &[&format!(r#"{{"a":{}}}"#, many(19_999))]);
}

/// What other implementations are known to get wrong.
#[test]
fn where_others_go_wrong() {
    check(
        r#"{"a":null}"#,
        &["{}", r#"{"a":null}"#, r#"{"a":[1,null]}"#],
        &[r#"{"a":[]}"#, r#"{"a":{}}"#, r#"{"a":0}"#, r#"{"a":[[null]]}"#],
    );
    check(
        r#"{"a.b":null}"#,
        &["{}", r#"{"a":5}"#, r#"{"a":{}}"#, r#"{"a":[{"b":1},{}]}"#],
        &[r#"{"a":[1,2]}"#, r#"{"a":[]}"#],
    );
    check(r#"{"a":{"$gt":null}}"#, &[], &["{}", r#"{"a":null}"#, r#"{"a":1}"#, r#"{"a":[]}"#]);
    check(r#"{"a":{"$gte":null}}"#, &["{}", r#"{"a":null}"#, r#"{"a":[null]}"#], &[r#"{"a":1}"#]);
    check(r#"{"a":{"$lt":"5"}}"#, &[r#"{"a":"4"}"#], &[r#"{"a":4}"#, r#"{"a":null}"#, "{}"]);
    check(r#"{"a":{"$ne":1}}"#, &[r#"{"a":[2]}"#, "{}"], &[r#"{"a":[1,2]}"#]);
    check(r#"{"a":{"$nin":[1]}}"#, &[r#"{"a":[2]}"#, "{}"], &[r#"{"a":[1,2]}"#]);
    check(r#"{"a":{"$not":{"$gt":1}}}"#, &[r#"{"a":[0,1]}"#, "{}", r#"{"a":"x"}"#], &[r#"{"a":[0,2]}"#]);
    check(r#"{"a":{"$gt":5,"$lt":3}}"#, &[r#"{"a":[1,9]}"#], &[r#"{"a":4}"#, r#"{"a":[4]}"#]);
    check(r#"{"a":{"$elemMatch":{"$gt":5,"$lt":3}}}"#, &[], &[r#"{"a":[1,9]}"#]);
    check(r#"{"a":1}"#, &[r#"{"a":[1]}"#], &[r#"{"a":[[1]]}"#]);
    check(r#"{"a.b":1}"#, &[r#"{"a":[{"b":1}]}"#], &[r#"{"a":[[{"b":1}]]}"#]);
    check(r#"{"a":{"$all":[]}}"#, &[], &["{}", r#"{"a":[]}"#, r#"{"a":[1]}"#]);
    check(r#"{"a":{"x":1,"y":2}}"#, &[r#"{"a":{"x":1.0,"y":2}}"#], &[r#"{"a":{"y":2,"x":1}}"#]);
    check(r#"{"a.0":1}"#, &[r#"{"a":[1,2]}"#, r#"{"a":{"0":1}}"#, r#"{"a":[{"0":1}]}"#], &[r#"{"a":[2,1]}"#]);
}
