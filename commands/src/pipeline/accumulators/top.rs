//! `$top`, `$topN`, `$bottom` and `$bottomN`: what the first or last rows of an order give. No more of them are held than
//! are asked for, and as many again.

use std::sync::Arc;

use veddb_storage::document::expression::{Expression, Root, Scope};
use veddb_storage::document::{RawObject, Value, ValueRef, codec};

use super::several::{how_many, how_many_of};
use super::{Accumulator, AccumulatorOperator, Grown, Parsed, State, members, size_of_value};
use crate::pipeline::Reader;
use crate::pipeline::parse::object;
use crate::query::sort::{Sort, SortKey};

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$top",
        summary: "What `output` gives for the first row in the order of `sortBy`.",
        parse: |reader, operand| one(reader, operand, false),
    },
    AccumulatorOperator {
        name: "$topN",
        summary: "What `output` gives for the first `n` rows in the order of `sortBy`.",
        parse: |reader, operand| many(reader, operand, false),
    },
    AccumulatorOperator {
        name: "$bottom",
        summary: "What `output` gives for the last row in the order of `sortBy`.",
        parse: |reader, operand| one(reader, operand, true),
    },
    AccumulatorOperator {
        name: "$bottomN",
        summary: "What `output` gives for the last `n` rows in the order of `sortBy`.",
        parse: |reader, operand| many(reader, operand, true),
    },
];

#[derive(Debug)]
struct Top {
    sort: Arc<Sort>,
    output: Expression,
    /// How many; none for a single one, which stands without an array.
    n: Option<Expression>,
    bottom: bool,
}

fn one(reader: &Reader<'_>, operand: ValueRef<'_>, bottom: bool) -> Parsed {
    let [sort, output] = members(operand, ["sortBy", "output"])?;
    parse(reader, sort, output, None, bottom)
}

fn many(reader: &Reader<'_>, operand: ValueRef<'_>, bottom: bool) -> Parsed {
    let [n, sort, output] = members(operand, ["n", "sortBy", "output"])?;
    let n = how_many_of(reader, n)?;
    parse(reader, sort, output, Some(n), bottom)
}

fn parse(reader: &Reader<'_>, sort: ValueRef<'_>, output: ValueRef<'_>, n: Option<Expression>, bottom: bool) -> Parsed {
    let sort = object(sort).and_then(Sort::from_object);
    let sort = Arc::new(sort.map_err(|what| format!("sortBy: {what}"))?);
    let output = reader.expression(output)?;
    Ok(Box::new(Top { sort, output, n, bottom }))
}

impl Accumulator for Top {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        let packed;
        let root = match scope.root {
            Root::Packed(root) => root,
            Root::Owned(object) => {
                packed = codec::pack_object(object);
                RawObject::from_body(&packed)
            }
        };
        let output = self.output.evaluate(scope).map_err(|error| error.0)?.unwrap_or(Value::Null);
        Ok(Some(Value::Array(vec![self.sort.key(root)?.to_value(), output])))
    }

    fn start(&self, group: &Scope<'_>) -> Result<Box<dyn State>, String> {
        let name = if self.bottom { "$bottomN" } else { "$topN" };
        let n = self.n.as_ref().map(|n| how_many(name, n, group)).transpose()?;
        let (sort, bottom) = (Arc::clone(&self.sort), self.bottom);
        let (n, single) = (n.unwrap_or(1), n.is_none());
        Ok(Box::new(Held { sort, n, single, bottom, held: Vec::new(), bytes: 0, grown: Grown::default() }))
    }
}

#[derive(Debug)]
struct Held {
    sort: Arc<Sort>,
    n: usize,
    single: bool,
    bottom: bool,
    /// Of equal ones those that came earlier stand earlier.
    held: Vec<(SortKey, Value)>,
    bytes: usize,
    grown: Grown,
}

fn size_of_held((key, value): &(SortKey, Value)) -> usize {
    key.size() + size_of_value(value)
}

impl Held {
    /// In order, and no more than asked for.
    fn settle(&mut self) {
        let sort = &self.sort;
        self.held.sort_by(|(a, _), (b, _)| sort.compare(a, b));
        let extra = self.held.len().saturating_sub(self.n);
        let kept = self.held.len() - extra;
        let dropped = if self.bottom { 0..extra } else { kept..self.held.len() };
        self.bytes -= self.held.drain(dropped).map(|held| size_of_held(&held)).sum::<usize>();
    }

    fn kept(&self) -> Vec<&(SortKey, Value)> {
        let mut held: Vec<&(SortKey, Value)> = self.held.iter().collect();
        held.sort_by(|(a, _), (b, _)| self.sort.compare(a, b));
        let extra = held.len().saturating_sub(self.n);
        if self.bottom {
            held.drain(..extra)
        } else {
            held.drain(held.len() - extra..)
        };
        held
    }
}

impl State for Held {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some(Value::Array(parts)) = value else { return Ok(0) };
        let Ok([key, output]) = <[Value; 2]>::try_from(parts) else { return Ok(0) };
        let held = (SortKey::from_value(&key), output);
        self.bytes += size_of_held(&held);
        self.held.push(held);
        if self.held.len() >= self.n.saturating_mul(2).max(16) {
            self.settle();
        }
        Ok(self.grown.to(self.bytes))
    }

    fn save(&self) -> Value {
        let pair = |(key, output): &(SortKey, Value)| Value::Array(vec![key.to_value(), output.clone()]);
        Value::Array(self.kept().into_iter().map(pair).collect())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        values.into_iter().map(|value| self.add(Some(value))).sum()
    }

    fn value(&self) -> Result<Option<Value>, String> {
        let kept = self.kept();
        Ok(Some(match kept.first() {
            Some((_, output)) if self.single => output.clone(),
            None if self.single => Value::Null,
            _ => Value::Array(kept.into_iter().map(|(_, output)| output.clone()).collect()),
        }))
    }
}
