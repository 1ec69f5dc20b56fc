//! Arrays: elements, slices, searches. What evaluates an expression for each element is in `element.rs`.

use super::super::order::compare_values;
use super::super::value::{Object, Value};
use super::evaluate::{ELEMENTS_MAX, type_name};
use super::number::width;
use super::text::{bounds, int32};
use super::{ANY, Args, Operator, Outcome, list, named};

pub(super) const OPERATORS: &[Operator] = &[
    list("$arrayElemAt", "The element at an index; from the end if it is negative.", (2, 2), element_at),
    list("$arrayToObject", "The object of an array's [name, value] pairs or {k, v} objects.", (1, 1), array_to_object),
    list("$concatArrays", "The elements of the arrays one after the other.", ANY, concat),
    list("$first", "The first element.", (1, 1), first),
    named("$firstN", "The first `n` elements of `input`.", &["n!", "input!"], first_n),
    list("$in", "Whether a value is an element of an array.", (2, 2), is_in),
    list("$indexOfArray", "The index of a value in an array, from and before an index; -1.", (2, 4), index_of),
    list("$isArray", "Whether the value is an array.", (1, 1), is_array),
    list("$last", "The last element.", (1, 1), last),
    named("$lastN", "The last `n` elements of `input`.", &["n!", "input!"], last_n),
    named(
        "$maxN",
        "The `n` greatest elements of `input`, greatest first; null does not count.",
        &["n!", "input!"],
        max_n,
    ),
    named("$minN", "The `n` least elements of `input`, least first; null does not count.", &["n!", "input!"], min_n),
    list("$objectToArray", "The members of an object, as {k, v} each.", (1, 1), object_to_array),
    list("$range", "The whole numbers from one up to, not including, another, by a step (1).", (2, 3), range),
    list("$reverseArray", "The elements in reverse.", (1, 1), reverse),
    list("$size", "How many elements there are.", (1, 1), size),
    list("$slice", "The first elements, the last (negative), or so many from an index on.", (2, 3), slice),
    named(
        "$zip",
        "The first elements of all `inputs`, the second, and so on.",
        &["inputs!", "useLongestLength", "defaults"],
        zip,
    ),
];

const NULL: Outcome = Ok(Some(Value::Null));

pub(super) fn not_array(what: &str, value: Option<&Value>) -> String {
    format!("{what} must be an array, not {}", type_name(value))
}

fn element_at(args: &mut Args<'_>) -> Outcome {
    if args.is_nullish(0) || args.is_nullish(1) {
        return NULL;
    }
    let Some(Value::Array(values)) = args.get(0) else { return Err(not_array("the first operand", args.get(0))) };
    let index = i64::from(int32(args.get(1), "the index")?);
    Ok(at(values, index).cloned())
}

fn at(values: &[Value], index: i64) -> Option<&Value> {
    let index = if index < 0 { index + values.len() as i64 } else { index };
    usize::try_from(index).ok().and_then(|index| values.get(index))
}

fn end(args: &Args<'_>, index: i64) -> Outcome {
    match args.get(0) {
        None | Some(Value::Null) => NULL,
        Some(Value::Array(values)) => Ok(at(values, index).cloned()),
        other => Err(not_array("the operand", other)),
    }
}

fn first(args: &mut Args<'_>) -> Outcome {
    end(args, 0)
}

fn last(args: &mut Args<'_>) -> Outcome {
    end(args, -1)
}

fn count(args: &Args<'_>) -> Result<usize, String> {
    let n = args.get(0).filter(|n| width(n).is_some()).and_then(Value::as_integer).filter(|n| *n > 0);
    n.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| "n must be a whole number greater than zero".into())
}

fn input(args: &mut Args<'_>) -> Result<(usize, Vec<Value>), String> {
    let n = count(args)?;
    match args.take(1) {
        Some(Value::Array(values)) => Ok((n, values)),
        other => Err(not_array("input", other.as_ref())),
    }
}

fn first_n(args: &mut Args<'_>) -> Outcome {
    let (n, mut values) = input(args)?;
    values.truncate(n);
    Ok(Some(Value::Array(values)))
}

fn last_n(args: &mut Args<'_>) -> Outcome {
    let (n, mut values) = input(args)?;
    Ok(Some(Value::Array(values.split_off(values.len().saturating_sub(n)))))
}

fn max_n(args: &mut Args<'_>) -> Outcome {
    let (n, mut values) = input(args)?;
    values.retain(|value| !matches!(value, Value::Null));
    values.sort_by(|a, b| compare_values(b, a));
    values.truncate(n);
    Ok(Some(Value::Array(values)))
}

fn min_n(args: &mut Args<'_>) -> Outcome {
    let (n, mut values) = input(args)?;
    values.retain(|value| !matches!(value, Value::Null));
    values.sort_by(compare_values);
    values.truncate(n);
    Ok(Some(Value::Array(values)))
}

fn concat(args: &mut Args<'_>) -> Outcome {
    let mut out = Vec::new();
    for at in 0..args.len() {
        match args.take(at) {
            None | Some(Value::Null) => return NULL,
            Some(Value::Array(values)) => out.extend(values),
            other => return Err(not_array("each operand", other.as_ref())),
        }
    }
    Ok(Some(Value::Array(out)))
}

fn is_in(args: &mut Args<'_>) -> Outcome {
    let Some(Value::Array(values)) = args.get(1) else { return Err(not_array("the second operand", args.get(1))) };
    // A missing value is no element.
    let found = args.get(0).is_some_and(|wanted| values.iter().any(|value| compare_values(value, wanted).is_eq()));
    Ok(Some(Value::Bool(found)))
}

fn index_of(args: &mut Args<'_>) -> Outcome {
    let values = match args.get(0) {
        None | Some(Value::Null) => return NULL,
        Some(Value::Array(values)) => values,
        other => return Err(not_array("the first operand", other)),
    };
    let found = bounds(args, values.len())?.and_then(|(start, end)| {
        let wanted = args.get(1)?;
        let inside = values.get(start..end)?;
        inside.iter().position(|value| compare_values(value, wanted).is_eq()).map(|at| start + at)
    });
    Ok(Some(Value::integer(found.map_or(-1, |at| at as i64))))
}

fn is_array(args: &mut Args<'_>) -> Outcome {
    Ok(Some(Value::Bool(matches!(args.get(0), Some(Value::Array(_))))))
}

fn size(args: &mut Args<'_>) -> Outcome {
    match args.get(0) {
        Some(Value::Array(values)) => Ok(Some(Value::integer(values.len() as i64))),
        other => Err(not_array("the operand", other)),
    }
}

fn reverse(args: &mut Args<'_>) -> Outcome {
    match args.take(0) {
        None | Some(Value::Null) => NULL,
        Some(Value::Array(mut values)) => {
            values.reverse();
            Ok(Some(Value::Array(values)))
        }
        other => Err(not_array("the operand", other.as_ref())),
    }
}

fn range(args: &mut Args<'_>) -> Outcome {
    let start = int32(args.get(0), "the start")?;
    let end = int32(args.get(1), "the end")?;
    let step = if args.is_given(2) { int32(args.get(2), "the step")? } else { 1 };
    if step == 0 {
        return Err("the step must not be zero".into());
    }
    let (start, end, step) = (i64::from(start), i64::from(end), i64::from(step));
    let span = if step > 0 { end - start } else { start - end };
    let elements = if span <= 0 { 0 } else { (span - 1) / step.abs() + 1 };
    if elements > ELEMENTS_MAX as i64 {
        return Err(format!("the array would have {elements} elements, more than {ELEMENTS_MAX}"));
    }
    Ok(Some(Value::Array((0..elements).map(|n| Value::integer(start + n * step)).collect())))
}

fn slice(args: &mut Args<'_>) -> Outcome {
    let given = args.len();
    if (0..given).any(|at| args.is_nullish(at)) {
        return NULL;
    }
    let Some(Value::Array(values)) = args.get(0) else { return Err(not_array("the first operand", args.get(0))) };
    let length = values.len() as i64;
    let second = i64::from(int32(args.get(1), "the second operand")?);
    let (start, count) = if given == 3 {
        let count = i64::from(int32(args.get(2), "the third operand")?);
        if count <= 0 {
            return Err("the third operand must be greater than zero".into());
        }
        let start = if second < 0 { (second + length).max(0) } else { second.min(length) };
        (start, count)
    } else if second < 0 {
        ((second + length).max(0), length)
    } else {
        (0, second)
    };
    let (start, count) = (usize::try_from(start).unwrap_or(0), usize::try_from(count).unwrap_or(0));
    Ok(Some(Value::Array(values.iter().skip(start).take(count).cloned().collect())))
}

fn zip(args: &mut Args<'_>) -> Outcome {
    let longest = match args.get(1) {
        None if !args.is_given(1) => false,
        Some(Value::Bool(flag)) => *flag,
        _ => return Err("useLongestLength must be a bool".into()),
    };
    let defaults = match args.take(2) {
        None | Some(Value::Null) => None,
        Some(Value::Array(values)) => Some(values),
        other => return Err(not_array("defaults", other.as_ref())),
    };
    let inputs = match args.take(0) {
        None | Some(Value::Null) => return NULL,
        Some(Value::Array(values)) => values,
        other => return Err(not_array("inputs", other.as_ref())),
    };
    if inputs.is_empty() {
        return Err("inputs must not be empty".into());
    }
    if defaults.is_some() && !longest {
        return Err("defaults need useLongestLength".into());
    }
    if defaults.as_ref().is_some_and(|defaults| defaults.len() != inputs.len()) {
        return Err("defaults and inputs must have the same length".into());
    }
    let mut columns = Vec::with_capacity(inputs.len());
    for input in &inputs {
        match input {
            Value::Null => return NULL,
            Value::Array(values) => columns.push(values),
            other => return Err(not_array("each of the inputs", Some(other))),
        }
    }
    let lengths = columns.iter().map(|column| column.len());
    let rows = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    if rows.saturating_mul(columns.len()) > ELEMENTS_MAX {
        return Err(format!("the array would have more than {ELEMENTS_MAX} elements"));
    }
    let default = |column: usize| defaults.as_ref().and_then(|d| d.get(column)).cloned().unwrap_or(Value::Null);
    let cell =
        |row: usize, column: usize, values: &Vec<Value>| values.get(row).cloned().unwrap_or_else(|| default(column));
    let line =
        |row: usize| Value::Array(columns.iter().enumerate().map(|(at, values)| cell(row, at, values)).collect());
    Ok(Some(Value::Array((0..rows).map(line).collect())))
}

fn object_to_array(args: &mut Args<'_>) -> Outcome {
    match args.take(0) {
        None | Some(Value::Null) => NULL,
        Some(Value::Object(object)) => {
            let member =
                |(name, value)| Value::Object(Object(vec![("k".into(), Value::String(name)), ("v".into(), value)]));
            Ok(Some(Value::Array(object.0.into_iter().map(member).collect())))
        }
        other => Err(format!("the operand must be an object, not {}", type_name(other.as_ref()))),
    }
}

fn array_to_object(args: &mut Args<'_>) -> Outcome {
    let values = match args.take(0) {
        None | Some(Value::Null) => return NULL,
        Some(Value::Array(values)) => values,
        other => return Err(not_array("the operand", other.as_ref())),
    };
    let pairs = matches!(values.first(), Some(Value::Array(_)));
    let mut members = Vec::with_capacity(values.len());
    for value in values {
        let (name, value) = match value {
            Value::Array(pair) if pairs => {
                let [name, value] = <[Value; 2]>::try_from(pair).map_err(|_| "each pair must be [name, value]")?;
                (name, value)
            }
            Value::Object(mut object) if !pairs => match (object.remove("k"), object.remove("v")) {
                (Some(name), Some(value)) if object.0.is_empty() => (name, value),
                _ => return Err("each object must have k and v, and nothing else".into()),
            },
            other => {
                return Err(format!(
                    "elements must all be pairs, or all {{k, v}} objects, not {}",
                    other.kind().name()
                ));
            }
        };
        let Value::String(name) = name else {
            return Err(format!("a name must be a string, not {}", name.kind().name()));
        };
        if name.contains('\0') {
            return Err("a name may not hold NUL".into());
        }
        members.push((name, value));
    }
    Ok(Some(Value::Object(unique(members))))
}

/// The members with each name once: at the place of the first, with the value of the last.
pub(super) fn unique(members: Vec<(String, Value)>) -> Object {
    let mut places = std::collections::HashMap::new();
    let mut object = Object::default();
    for (name, value) in members {
        let next = object.0.len();
        let place = *places.entry(name.clone()).or_insert(next);
        match object.0.get_mut(place) {
            Some((_, before)) => *before = value,
            None => object.0.push((name, value)),
        }
    }
    object
}
