//! `$firstN`, `$lastN`, `$minN` and `$maxN`: so many of the values. No more of them are held than that.

use std::cmp::Ordering;
use std::collections::VecDeque;

use veddb_storage::document::expression::{Expression, Scope};
use veddb_storage::document::order::compare_values;
use veddb_storage::document::{Value, ValueRef};

use super::{Accumulator, AccumulatorOperator, Grown, Parsed, State, members, size_of_value};
use crate::pipeline::Reader;

macro_rules! operator {
    // An entry needs its function as a constant, which a closure with a captured kind could not be.
    ($name:literal, $summary:literal, $kind:expr) => {
        AccumulatorOperator {
            name: $name,
            summary: $summary,
            parse: |reader, operand| parse(reader, operand, $name, $kind),
        }
    };
}

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    operator!("$firstN", "The values that `input` gives for the first `n` rows.", Kind::First),
    operator!("$lastN", "The values that `input` gives for the last `n` rows.", Kind::Last),
    operator!("$minN", "The `n` least of the values that `input` gives, least first.", Kind::Least),
    operator!("$maxN", "The `n` greatest of the values that `input` gives, greatest first.", Kind::Greatest),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    First,
    Last,
    Least,
    Greatest,
}

#[derive(Debug)]
struct Several {
    name: &'static str,
    kind: Kind,
    n: Expression,
    input: Expression,
}

fn parse(reader: &Reader<'_>, operand: ValueRef<'_>, name: &'static str, kind: Kind) -> Parsed {
    let [n, input] = members(operand, ["n", "input"])?;
    let (n, input) = (how_many_of(reader, n)?, reader.expression(input)?);
    Ok(Box::new(Several { name, kind, n, input }))
}

/// Reads `n`.
pub(super) fn how_many_of(reader: &Reader<'_>, n: ValueRef<'_>) -> Result<Expression, String> {
    let n = reader.expression(n)?;
    if let Some(constant) = n.as_constant() {
        positive(Some(constant))?;
    }
    Ok(n)
}

/// What `n` is for a group.
pub(super) fn how_many(name: &str, n: &Expression, group: &Scope<'_>) -> Result<usize, String> {
    let n = n.evaluate(group).map_err(|error| error.0)?;
    positive(n.as_ref()).map_err(|what| format!("{name}: {what}"))
}

fn positive(n: Option<&Value>) -> Result<usize, String> {
    let whole = n.and_then(Value::as_integer).filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
    whole.ok_or_else(|| "n must be a whole number greater than zero".into())
}

impl Accumulator for Several {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.input.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, group: &Scope<'_>) -> Result<Box<dyn State>, String> {
        let n = how_many(self.name, &self.n, group)?;
        Ok(match self.kind {
            Kind::First | Kind::Last => Box::new(Ends { n, last: self.kind == Kind::Last, ..Ends::default() }),
            Kind::Least => Extremes::boxed(n, compare_values),
            Kind::Greatest => Extremes::boxed(n, |a, b| compare_values(b, a)),
        })
    }
}

/// The first or the last; null and missing count as well.
#[derive(Debug, Default)]
struct Ends {
    n: usize,
    last: bool,
    held: VecDeque<Value>,
    bytes: usize,
    grown: Grown,
}

impl State for Ends {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        if self.held.len() >= self.n {
            if !self.last {
                return Ok(0);
            }
            self.bytes -= self.held.pop_front().as_ref().map_or(0, size_of_value);
        }
        let value = value.unwrap_or(Value::Null);
        self.bytes += size_of_value(&value);
        self.held.push_back(value);
        Ok(self.grown.to(self.bytes))
    }

    fn save(&self) -> Value {
        Value::Array(self.held.iter().cloned().collect())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        values.into_iter().map(|value| self.add(Some(value))).sum()
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(self.save()))
    }
}

/// The least of an order; null and missing do not count. Twice as many are held before the rest is dropped.
#[derive(Debug)]
struct Extremes {
    n: usize,
    order: fn(&Value, &Value) -> Ordering,
    held: Vec<Value>,
    bytes: usize,
    grown: Grown,
}

impl Extremes {
    fn boxed(n: usize, order: fn(&Value, &Value) -> Ordering) -> Box<dyn State> {
        Box::new(Extremes { n, order, held: Vec::new(), bytes: 0, grown: Grown::default() })
    }
}

impl State for Extremes {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some(value) = value.filter(|value| !matches!(value, Value::Null)) else { return Ok(0) };
        self.bytes += size_of_value(&value);
        self.held.push(value);
        if self.held.len() >= self.n.saturating_mul(2).max(64) {
            self.held.sort_by(self.order);
            let from = self.n.min(self.held.len());
            self.bytes -= self.held.drain(from..).map(|value| size_of_value(&value)).sum::<usize>();
        }
        Ok(self.grown.to(self.bytes))
    }

    fn save(&self) -> Value {
        let mut values = self.held.clone();
        values.sort_by(self.order);
        values.truncate(self.n);
        Value::Array(values)
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        values.into_iter().map(|value| self.add(Some(value))).sum()
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(self.save()))
    }
}
