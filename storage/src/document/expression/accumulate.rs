//! Sums, means and extremes of several values, or of the elements of one array. What is no number does not count to a
//! sum; null and missing do not count at all.

use super::super::order::compare_values;
use super::super::value::Value;
use super::evaluate::type_name;
use super::number::{double, width};
use super::sum::Sum;
use super::{ANY, Args, Operator, Outcome, list, named};

pub(super) const OPERATORS: &[Operator] = &[
    list("$avg", "The mean of the numbers; null if there is none.", ANY, avg),
    list("$max", "The greatest value; null if there is none.", ANY, max),
    named("$median", "The number in the middle of `input`, approximately.", &["input!", "method!"], median),
    list("$min", "The least value; null if there is none.", ANY, min),
    named(
        "$percentile",
        "The numbers of `input` at each of `p`, approximately.",
        &["input!", "p!", "method!"],
        percentile,
    ),
    list("$stdDevPop", "The standard deviation of the numbers.", ANY, deviation_population),
    list("$stdDevSamp", "The standard deviation estimated from the numbers as a sample.", ANY, deviation_sample),
    list("$sum", "The sum of the numbers.", ANY, sum),
];

/// The values that count: several, or the elements of the only one if it is an array.
pub(super) fn operands(args: &mut Args<'_>) -> Vec<Value> {
    let mut values = args.take_all();
    match values.pop() {
        Some(Value::Array(elements)) if values.is_empty() => elements,
        last => {
            values.extend(last);
            values
        }
    }
}

fn summed(args: &mut Args<'_>) -> Sum {
    let mut sum = Sum::default();
    operands(args).iter().for_each(|value| sum.add(value));
    sum
}

fn sum(args: &mut Args<'_>) -> Outcome {
    Ok(Some(summed(args).value()))
}

fn avg(args: &mut Args<'_>) -> Outcome {
    Ok(Some(summed(args).mean()))
}

fn min(args: &mut Args<'_>) -> Outcome {
    let values = operands(args).into_iter().filter(|value| !matches!(value, Value::Null));
    let least = values.reduce(|a, b| if compare_values(&b, &a).is_lt() { b } else { a });
    Ok(Some(least.unwrap_or(Value::Null)))
}

fn max(args: &mut Args<'_>) -> Outcome {
    let values = operands(args).into_iter().filter(|value| !matches!(value, Value::Null));
    let greatest = values.reduce(|a, b| if compare_values(&b, &a).is_gt() { b } else { a });
    Ok(Some(greatest.unwrap_or(Value::Null)))
}

fn deviation(args: &mut Args<'_>, least: usize) -> Outcome {
    let numbers: Vec<f64> = operands(args).iter().filter(|value| width(value).is_some()).map(double).collect();
    if numbers.len() <= least {
        return Ok(Some(Value::Null));
    }
    // Welford's way, which does not lose small deviations from a large mean.
    let (mut mean, mut squares, mut count) = (0.0, 0.0, 0.0);
    for n in &numbers {
        count += 1.0;
        let delta = n - mean;
        mean += delta / count;
        squares += delta * (n - mean);
    }
    Ok(Some(Value::Double((squares / (count - least as f64)).sqrt())))
}

fn deviation_population(args: &mut Args<'_>) -> Outcome {
    deviation(args, 0)
}

fn deviation_sample(args: &mut Args<'_>) -> Outcome {
    deviation(args, 1)
}

/// The numbers of `input`, ascending.
fn numbers(args: &Args<'_>, method: usize) -> Result<Vec<f64>, String> {
    match args.get(method) {
        Some(Value::String(method)) if method == "approximate" => {}
        _ => return Err("method must be \"approximate\"".into()),
    }
    let values = match args.get(0) {
        Some(Value::Array(values)) => values.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let mut numbers: Vec<f64> = values.iter().filter(|value| width(value).is_some()).map(double).collect();
    numbers.retain(|n| !n.is_nan());
    numbers.sort_by(f64::total_cmp);
    Ok(numbers)
}

/// The one of these numbers, which are in ascending order, below which this part of them lies; null of none.
pub fn at_percentile(numbers: &[f64], p: f64) -> Value {
    let rank = (p * numbers.len() as f64).ceil() as usize;
    numbers.get(rank.saturating_sub(1)).map_or(Value::Null, |n| Value::Double(*n))
}

fn median(args: &mut Args<'_>) -> Outcome {
    Ok(Some(at_percentile(&numbers(args, 1)?, 0.5)))
}

fn percentile(args: &mut Args<'_>) -> Outcome {
    let numbers = numbers(args, 2)?;
    let Some(Value::Array(wanted)) = args.get(1).filter(|p| p.as_array().is_some_and(|p| !p.is_empty())) else {
        return Err(format!("p must be an array of numbers, not {}", type_name(args.get(1))));
    };
    let mut found = Vec::with_capacity(wanted.len());
    for p in wanted {
        let p = width(p).map(|_| double(p)).filter(|p| (0.0..=1.0).contains(p));
        found.push(at_percentile(&numbers, p.ok_or("p must hold numbers from 0 to 1")?));
    }
    Ok(Some(Value::Array(found)))
}
