//! `$median` and `$percentile`: the numbers below which a part of all numbers lies.

use veddb_storage::document::expression::reckon::number;
use veddb_storage::document::expression::{Expression, Scope, at_percentile};
use veddb_storage::document::{Value, ValueRef};

use super::{Accumulator, AccumulatorOperator, Parsed, State, members};
use crate::pipeline::Reader;

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$median",
        summary: "The number in the middle of the numbers that `input` gives; `method` is \"approximate\".",
        parse: |reader, operand| {
            let [input, method] = members(operand, ["input", "method"])?;
            parse(reader, input, None, method)
        },
    },
    AccumulatorOperator {
        name: "$percentile",
        summary: "The numbers that `input` gives at each of `p`; `method` is \"approximate\".",
        parse: |reader, operand| {
            let [input, p, method] = members(operand, ["input", "p", "method"])?;
            parse(reader, input, Some(p), method)
        },
    },
];

#[derive(Debug)]
struct Percentile {
    input: Expression,
    /// The parts; none for the median.
    p: Option<Vec<f64>>,
}

fn parse(reader: &Reader<'_>, input: ValueRef<'_>, p: Option<ValueRef<'_>>, method: ValueRef<'_>) -> Parsed {
    if !matches!(method, ValueRef::String("approximate")) {
        return Err("method must be \"approximate\"".into());
    }
    let input = reader.expression(input)?;
    let p = p.map(|p| parts(&reader.expression(p)?)).transpose()?;
    Ok(Box::new(Percentile { input, p }))
}

fn parts(p: &Expression) -> Result<Vec<f64>, String> {
    let parts = p.as_constant().and_then(Value::as_array).filter(|parts| !parts.is_empty());
    let parts = parts.ok_or("p must be a constant array of numbers")?.iter().map(number);
    let parts = parts.map(|part| part.filter(|part| (0.0..=1.0).contains(part)));
    parts.collect::<Option<Vec<f64>>>().ok_or_else(|| "p must hold numbers from 0 to 1".into())
}

impl Accumulator for Percentile {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.input.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn State>, String> {
        Ok(Box::new(Numbers { p: self.p.clone(), numbers: Vec::new() }))
    }
}

/// All numbers, so that the answer is exact.
#[derive(Debug)]
struct Numbers {
    p: Option<Vec<f64>>,
    numbers: Vec<f64>,
}

impl State for Numbers {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some(n) = value.as_ref().and_then(number).filter(|n| !n.is_nan()) else { return Ok(0) };
        self.numbers.push(n);
        Ok(size_of::<f64>())
    }

    fn save(&self) -> Value {
        Value::Array(self.numbers.iter().map(|n| Value::Double(*n)).collect())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        self.numbers.extend(values.iter().filter_map(number));
        Ok(values.len() * size_of::<f64>())
    }

    fn value(&self) -> Result<Option<Value>, String> {
        let mut numbers = self.numbers.clone();
        numbers.sort_by(f64::total_cmp);
        Ok(Some(match &self.p {
            None => at_percentile(&numbers, 0.5),
            Some(parts) => Value::Array(parts.iter().map(|part| at_percentile(&numbers, *part)).collect()),
        }))
    }
}
