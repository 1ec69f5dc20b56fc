//! Arrays as sets: order and repetition do not count.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::super::order::compare_values;
use super::super::value::Value;
use super::array::not_array;
use super::boolean::truth;
use super::{ANY, Args, Operator, Outcome, list};

pub(super) const OPERATORS: &[Operator] = &[
    list("$allElementsTrue", "Whether all elements of the array are true.", (1, 1), all_true),
    list("$anyElementTrue", "Whether one of the elements is true.", (1, 1), any_true),
    list("$setDifference", "The elements of the first array that are not in the second.", (2, 2), difference),
    list("$setEquals", "Whether the arrays have the same elements.", (2, usize::MAX), equals),
    list("$setIntersection", "The elements that all arrays have.", ANY, intersection),
    list("$setIsSubset", "Whether all elements of the first array are in the second.", (2, 2), is_subset),
    list("$setUnion", "The elements of any of the arrays.", ANY, union),
];

/// A value in the order of values.
#[derive(Debug, Clone)]
struct Ordered(Value);

impl PartialEq for Ordered {
    fn eq(&self, other: &Ordered) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> Ordering {
        compare_values(&self.0, &other.0)
    }
}

type Set = BTreeSet<Ordered>;

fn set(args: &mut Args<'_>, at: usize) -> Result<Set, String> {
    match args.take(at) {
        Some(Value::Array(values)) => Ok(collected(values)),
        other => Err(not_array("each operand", other.as_ref())),
    }
}

/// Of equal values the first stays.
fn collected(values: Vec<Value>) -> Set {
    let mut set = Set::new();
    for value in values {
        set.insert(Ordered(value));
    }
    set
}

fn array(set: Set) -> Outcome {
    Ok(Some(Value::Array(set.into_iter().map(|value| value.0).collect())))
}

fn flag(flag: bool) -> Outcome {
    Ok(Some(Value::Bool(flag)))
}

const NULL: Outcome = Ok(Some(Value::Null));

fn elements<'a>(args: &'a Args<'_>) -> Result<&'a [Value], String> {
    args.get(0).and_then(Value::as_array).ok_or_else(|| not_array("the operand", args.get(0)))
}

fn all_true(args: &mut Args<'_>) -> Outcome {
    flag(elements(args)?.iter().all(truth))
}

fn any_true(args: &mut Args<'_>) -> Outcome {
    flag(elements(args)?.iter().any(truth))
}

fn difference(args: &mut Args<'_>) -> Outcome {
    if args.is_nullish(0) || args.is_nullish(1) {
        return NULL;
    }
    let mut seen = set(args, 1)?;
    let Some(Value::Array(values)) = args.take(0) else { return Err("each operand must be an array".into()) };
    let kept = values.into_iter().filter(|value| seen.insert(Ordered(value.clone())));
    Ok(Some(Value::Array(kept.collect())))
}

fn equals(args: &mut Args<'_>) -> Outcome {
    let first = set(args, 0)?;
    let mut same = true;
    for at in 1..args.len() {
        same &= set(args, at)? == first;
    }
    flag(same)
}

fn intersection(args: &mut Args<'_>) -> Outcome {
    let mut found: Option<Set> = None;
    for at in 0..args.len() {
        if args.is_nullish(at) {
            return NULL;
        }
        let next = set(args, at)?;
        found = Some(match found {
            None => next,
            Some(mut set) => {
                set.retain(|value| next.contains(value));
                set
            }
        });
    }
    array(found.unwrap_or_default())
}

fn union(args: &mut Args<'_>) -> Outcome {
    let mut found = Set::new();
    for at in 0..args.len() {
        if args.is_nullish(at) {
            return NULL;
        }
        for value in set(args, at)? {
            found.insert(value);
        }
    }
    array(found)
}

fn is_subset(args: &mut Args<'_>) -> Outcome {
    let (first, second) = (set(args, 0)?, set(args, 1)?);
    flag(first.is_subset(&second))
}
