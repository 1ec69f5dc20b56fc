//! `$fill`: values in place of those that are null or missing. It is a `$setWindowFields` for what depends on other rows, and an
//! `$addFields` for the rest.

use veddb_storage::document::{Object, Value, ValueRef, codec};

use super::{Parsed, Place, StageOperator, project, window};
use crate::pipeline::Reader;
use crate::pipeline::parse::{members, object};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$fill",
    summary: "Sets members that are null or missing to a value, or to what the rows before and after have.",
    place: Place::Anywhere,
    parse,
}];

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let [by, by_fields, sort_by, output] = members(operand, ["partitionBy", "partitionByFields", "sortBy", "output"])?;
    let mut window = Object::default();
    match (by, by_fields) {
        (Some(_), Some(_)) => return Err("has either partitionBy or partitionByFields".into()),
        // A string is a path: anything else would be one partition.
        (Some(ValueRef::String(path)), _) if !path.starts_with('$') => {
            return Err("partitionBy must be a path that begins with $ or an expression".into());
        }
        (Some(by @ (ValueRef::String(_) | ValueRef::Object(_))), _) => {
            window.0.push(("partitionBy".to_owned(), by.to_value()));
        }
        (Some(_), _) => return Err("partitionBy must be a path that begins with $ or an expression".into()),
        (_, Some(fields)) => window.0.push(("partitionBy".to_owned(), by_all(fields)?)),
        (None, None) => {}
    }
    if let Some(sort_by) = sort_by {
        window.0.push(("sortBy".to_owned(), sort_by.to_value()));
    }
    let output = object(output.ok_or("needs output")?).map_err(|what| format!("output: {what}"))?;
    let (mut functions, mut values) = (Object::default(), Object::default());
    for (path, how) in output.iter() {
        let wrong = |what: &str| format!("output: {path}: {what}");
        let [value, method] = members(how, ["value", "method"]).map_err(|what| wrong(&what))?;
        let own = Value::String(format!("${path}"));
        match (value, method) {
            (Some(value), None) => {
                let filled = call("$ifNull", Value::Array(vec![own, value.to_value()]));
                values.0.push((path.to_owned(), filled));
            }
            (None, Some(ValueRef::String("linear"))) if sort_by.is_none() => {
                return Err(wrong("linear needs a sortBy"));
            }
            (None, Some(ValueRef::String("linear"))) => functions.0.push((path.to_owned(), call("$linearFill", own))),
            (None, Some(ValueRef::String("locf"))) => functions.0.push((path.to_owned(), call("$locf", own))),
            (None, Some(_)) => return Err(wrong("method must be \"linear\" or \"locf\"")),
            _ => return Err(wrong("needs either value or method")),
        }
    }
    if functions.0.is_empty() && values.0.is_empty() {
        return Err("output: needs at least one field".into());
    }
    let mut stages = Vec::new();
    if !functions.0.is_empty() {
        window.0.push(("output".to_owned(), Value::Object(functions)));
        stages.extend(window::parse(reader, codec::pack_value(&Value::Object(window)).get())?);
    }
    if !values.0.is_empty() {
        stages.extend(project::set(reader, codec::pack_value(&Value::Object(values)).get())?);
    }
    Ok(stages)
}

/// The expression of a partition by these fields.
fn by_all(fields: ValueRef<'_>) -> Result<Value, String> {
    let ValueRef::Array(list) = fields else { return Err("partitionByFields must be an array of paths".into()) };
    let mut members = Object::default();
    for (number, path) in list.iter().enumerate() {
        match path {
            ValueRef::String(path) if !path.is_empty() && !path.starts_with('$') => {
                members.0.push((format!("p{number}"), Value::String(format!("${path}"))));
            }
            _ => return Err("partitionByFields must be an array of paths without $".into()),
        }
    }
    Ok(Value::Object(members))
}

/// `{"$name": operand}`
fn call(name: &str, operand: Value) -> Value {
    Value::Object(Object(vec![(name.to_owned(), operand)]))
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;

    #[test]
    fn what_is_missing() {
        let documents = r#"[{"t":1,"v":1},{"t":2},{"t":4,"v":7},{"t":5,"v":null,"w":2}]"#;
        check(&[
            (
                documents,
                r#"{"$fill":{"sortBy":{"t":1},"output":{"v":{"method":"linear"},"w":{"value":"$t"}}}}"#,
                r#"{"t":1,"v":1,"w":1} {"t":2,"v":3.0,"w":2} {"t":4,"v":7,"w":4} {"t":5,"v":null,"w":2}"#,
            ),
            (
                documents,
                r#"{"$fill":{"output":{"v":{"method":"locf"}}}}"#,
                r#"{"t":1,"v":1} {"t":2,"v":1} {"t":4,"v":7} {"t":5,"v":7,"w":2}"#,
            ),
            (
                r#"[{"p":2,"v":1},{"p":1},{"p":2}]"#,
                r#"{"$fill":{"partitionByFields":["p"],"output":{"v":{"method":"locf"}}}}"#,
                r#"{"p":1,"v":null} {"p":2,"v":1} {"p":2,"v":1}"#,
            ),
            ("[]", r#"{"$fill":{"output":{"v":{"method":"linear"}}}}"#, "error: output: v: linear needs a sortBy"),
            ("[]", r#"{"$fill":{"output":{"v":{"method":"mean"}}}}"#, "error: method must be"),
            ("[]", r#"{"$fill":{"output":{"v":{"method":"locf","value":1}}}}"#, "error: either value or method"),
            ("[]", r#"{"$fill":{"output":{}}}"#, "error: at least one field"),
            ("[]", r#"{"$fill":{"partitionBy":"p","output":{"v":{"value":1}}}}"#, "error: partitionBy must be a path"),
        ]);
    }
}
