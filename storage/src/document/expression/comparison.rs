//! Comparisons, by the full order of values: a missing value is less than any other, even null.

use std::cmp::Ordering;

use super::super::order::compare_values;
use super::super::value::Value;
use super::{Args, Operator, Outcome, list};

pub(super) const OPERATORS: &[Operator] = &[
    list("$cmp", "-1, 0 or 1, as the first value is less than the second, equal or greater.", (2, 2), cmp),
    list("$eq", "Whether the values are equal.", (2, 2), eq),
    list("$gt", "Whether the first value is greater than the second.", (2, 2), gt),
    list("$gte", "Whether the first value is not less than the second.", (2, 2), gte),
    list("$lt", "Whether the first value is less than the second.", (2, 2), lt),
    list("$lte", "Whether the first value is not greater than the second.", (2, 2), lte),
    list("$ne", "Whether the values differ.", (2, 2), ne),
];

/// The order of two values; missing comes before all but the least key.
pub(super) fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare_values(a, b),
        (None, None) => Ordering::Equal,
        (None, Some(Value::MinKey)) => Ordering::Greater,
        (Some(Value::MinKey), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    }
}

fn ordered(args: &Args<'_>) -> Ordering {
    compare(args.get(0), args.get(1))
}

fn answer(flag: bool) -> Outcome {
    Ok(Some(Value::Bool(flag)))
}

fn cmp(args: &mut Args<'_>) -> Outcome {
    Ok(Some(Value::Int32(ordered(args) as i32)))
}

fn eq(args: &mut Args<'_>) -> Outcome {
    answer(ordered(args).is_eq())
}

fn ne(args: &mut Args<'_>) -> Outcome {
    answer(ordered(args).is_ne())
}

fn gt(args: &mut Args<'_>) -> Outcome {
    answer(ordered(args).is_gt())
}

fn gte(args: &mut Args<'_>) -> Outcome {
    answer(ordered(args).is_ge())
}

fn lt(args: &mut Args<'_>) -> Outcome {
    answer(ordered(args).is_lt())
}

fn lte(args: &mut Args<'_>) -> Outcome {
    answer(ordered(args).is_le())
}
