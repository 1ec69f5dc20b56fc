//! `$bucket`: groups by the range that a value lies in. It is a `$group` by an expression that looks the range up, and a
//! `$sort`.

use std::cmp::Ordering;
use std::sync::Arc;

use veddb_storage::document::order::{class, compare_values};
use veddb_storage::document::{Object, RawObject, Value, ValueRef, codec};

use super::group::{check_name, parse as group};
use super::sort::Sorted;
use super::{Parsed, Place, StageOperator};
use crate::pipeline::Reader;
use crate::pipeline::parse::{members, object};
use crate::query::sort::Sort;

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$bucket",
    summary: "Makes one row of all rows whose `groupBy` lies between two neighbours among `boundaries`.",
    place: Place::Anywhere,
    parse,
}];

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let [group_by, boundaries, default, output] = members(operand, ["groupBy", "boundaries", "default", "output"])?;
    let group_by = group_by.ok_or("needs groupBy")?;
    check_group_by(group_by)?;
    let boundaries = read_boundaries(reader, boundaries.ok_or("needs boundaries")?)?;
    let default = default.map(|default| constant(reader, default, "default")).transpose()?;
    if let (Some(default), Some(first), Some(last)) = (&default, boundaries.first(), boundaries.last())
        && compare_values(default, first).is_ge()
        && compare_values(default, last).is_lt()
    {
        return Err("default must be less than the first of boundaries, or not less than the last".into());
    }
    let mut operand = Object(vec![("_id".to_owned(), range_of(group_by, &boundaries, default))]);
    operand.0.extend(read_output(output)?);
    let mut stages = group(reader, codec::pack_value(&Value::Object(operand)).get())?;
    let order = codec::pack_object(&Object(vec![("_id".to_owned(), Value::Int32(1))]));
    stages.push(Arc::new(Sorted::new(Sort::from_object(RawObject::from_body(&order))?)));
    Ok(stages)
}

/// `groupBy` is a path or an expression: anything else would be the same for all rows.
pub(super) fn check_group_by(group_by: ValueRef<'_>) -> Result<(), String> {
    match group_by {
        ValueRef::String(path) if path.starts_with('$') => Ok(()),
        ValueRef::Object(_) => Ok(()),
        _ => Err("groupBy must be a path that begins with $ or an expression".into()),
    }
}

/// The accumulators of `output`, by the names of their fields: a count where there is none.
pub(super) fn read_output(output: Option<ValueRef<'_>>) -> Result<Vec<(String, Value)>, String> {
    let Some(output) = output else {
        let one = Value::Object(Object(vec![("$sum".to_owned(), Value::Int32(1))]));
        return Ok(vec![("count".to_owned(), one)]);
    };
    let mut fields = Vec::new();
    for (name, value) in object(output).map_err(|what| format!("output: {what}"))?.iter() {
        check_name(name)?;
        if name == "_id" {
            return Err("output: _id is the bucket".into());
        }
        fields.push((name.to_owned(), value.to_value()));
    }
    Ok(fields)
}

fn constant(reader: &Reader<'_>, value: ValueRef<'_>, what: &str) -> Result<Value, String> {
    let expression = reader.expression(value).map_err(|error| format!("{what}: {error}"))?;
    expression.as_constant().cloned().ok_or_else(|| format!("{what} must be constant"))
}

fn read_boundaries(reader: &Reader<'_>, boundaries: ValueRef<'_>) -> Result<Vec<Value>, String> {
    let ValueRef::Array(list) = boundaries else { return Err("boundaries must be an array".into()) };
    let mut values: Vec<Value> = Vec::new();
    for value in list.iter() {
        let value = constant(reader, value, "boundaries")?;
        if let Some(before) = values.last() {
            if class(before.kind()) != class(value.kind()) {
                return Err("boundaries must be of one type".into());
            }
            if compare_values(before, &value) != Ordering::Less {
                return Err("boundaries must be in ascending order".into());
            }
        }
        values.push(value);
    }
    if values.len() < 2 {
        return Err("boundaries must be at least two".into());
    }
    Ok(values)
}

/// `{"$name": operand}`
fn call(name: &str, operand: Value) -> Value {
    Value::Object(Object(vec![(name.to_owned(), operand)]))
}

/// The expression of the lower boundary of the range that the value lies in, found by halves.
fn range_of(group_by: ValueRef<'_>, boundaries: &[Value], default: Option<Value>) -> Value {
    let outside = match default {
        Some(default) => call("$literal", default),
        // Fails where it comes to be evaluated.
        None => {
            let never = Object(vec![("case".to_owned(), Value::Bool(false)), ("then".to_owned(), Value::Null)]);
            call(
                "$switch",
                Value::Object(Object(vec![("branches".to_owned(), Value::Array(vec![Value::Object(never)]))])),
            )
        }
    };
    let value = || Value::String("$$value".to_owned());
    let less = |bound: &Value| call("$lt", Value::Array(vec![value(), call("$literal", bound.clone())]));
    let (Some(first), Some((last, lower))) = (boundaries.first(), boundaries.split_last()) else { return outside };
    let out = call("$or", Value::Array(vec![less(first), call("$not", Value::Array(vec![less(last)]))]));
    let found = call("$cond", Value::Array(vec![out, outside, among(lower, &less)]));
    let variables = Object(vec![("value".to_owned(), group_by.to_value())]);
    let members = vec![("vars".to_owned(), Value::Object(variables)), ("in".to_owned(), found)];
    call("$let", Value::Object(Object(members)))
}

/// The greatest of these bounds that is not greater than the value. The recursion halves them.
fn among(lower: &[Value], less: &dyn Fn(&Value) -> Value) -> Value {
    let (left, right) = lower.split_at(lower.len() / 2);
    match (left, right) {
        ([], [only]) => call("$literal", only.clone()),
        (left, [middle, ..]) => call("$cond", Value::Array(vec![less(middle), among(left, less), among(right, less)])),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;

    #[test]
    fn ranges() {
        let documents = r#"[{"x":5},{"x":-1},{"x":"a"},{"x":10},{"x":[1]},{"x":19.9},{}]"#;
        check(&[
            (
                documents,
                r#"{"$bucket":{"groupBy":"$x","boundaries":[0,10,20,30],"default":"other"}}"#,
                r#"{"_id":0,"count":1} {"_id":10,"count":2} {"_id":"other","count":4}"#,
            ),
            (
                r#"[{"x":1,"v":2},{"x":1,"v":3}]"#,
                r#"{"$bucket":{"groupBy":{"$add":["$x",1]},"boundaries":[0,{"$add":[1,2]}],"output":{"s":{"$sum":"$v"}}}}"#,
                r#"{"_id":0,"s":5}"#,
            ),
            (r#"[{"x":1}]"#, r#"{"$bucket":{"groupBy":"$x","boundaries":[0,2],"output":{}}}"#, r#"{"_id":0}"#),
            (documents, r#"{"$bucket":{"groupBy":"$x","boundaries":[0,100]}}"#, "error: there is no default"),
            ("[]", r#"{"$bucket":{"groupBy":"x","boundaries":[0,1]}}"#, "error: groupBy must be"),
            ("[]", r#"{"$bucket":{"groupBy":"$x","boundaries":[0]}}"#, "error: boundaries must be at least two"),
            ("[]", r#"{"$bucket":{"groupBy":"$x","boundaries":[1,1]}}"#, "error: ascending order"),
            ("[]", r#"{"$bucket":{"groupBy":"$x","boundaries":[1,"a"]}}"#, "error: of one type"),
            ("[]", r#"{"$bucket":{"groupBy":"$x","boundaries":[1,"$y"]}}"#, "error: boundaries must be constant"),
            ("[]", r#"{"$bucket":{"groupBy":"$x","boundaries":[1,3],"default":2}}"#, "error: default must be less"),
            (
                "[]",
                r#"{"$bucket":{"groupBy":"$x","boundaries":[1,3],"output":{"_id":{"$sum":1}}}}"#,
                "error: _id is the bucket",
            ),
            ("[]", r#"{"$bucket":{"groupBy":"$x","boundaries":[1,3],"more":1}}"#, "error: unknown member more"),
        ]);
    }
}
