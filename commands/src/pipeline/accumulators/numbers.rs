//! `$sum`, `$avg` and `$count`: of the numbers among the values.

use veddb_storage::document::expression::{Scope, Sum};
use veddb_storage::document::{Value, ValueRef};

use super::{Accumulator, AccumulatorOperator, Parsed, Plain, State};
use crate::pipeline::Reader;

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$sum",
        summary: "The sum of the numbers.",
        parse: |reader, operand| Plain::parse(reader, operand, || Summed::boxed(Sum::value)),
    },
    AccumulatorOperator {
        name: "$avg",
        summary: "The mean of the numbers; null if there is none.",
        parse: |reader, operand| Plain::parse(reader, operand, || Summed::boxed(Sum::mean)),
    },
    AccumulatorOperator { name: "$count", summary: "How many rows there are.", parse: count },
];

/// The numbers of the rows, summed, of which one thing is shown.
#[derive(Debug)]
struct Summed {
    sum: Sum,
    show: fn(&Sum) -> Value,
}

impl Summed {
    fn boxed(show: fn(&Sum) -> Value) -> Box<dyn State> {
        Box::new(Summed { sum: Sum::default(), show })
    }
}

impl State for Summed {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        value.iter().for_each(|value| self.sum.add(value));
        Ok(0)
    }

    fn save(&self) -> Value {
        self.sum.save()
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        self.sum.absorb(&saved);
        Ok(0)
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some((self.show)(&self.sum)))
    }

    fn remove(&mut self, value: &Option<Value>) -> bool {
        value.as_ref().is_none_or(|value| self.sum.remove(value))
    }
}

/// `{"$count": {}}` is `{"$sum": 1}`.
#[derive(Debug)]
struct Count;

fn count(_: &Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    match operand {
        ValueRef::Object(object) if object.is_empty() => Ok(Box::new(Count)),
        _ => Err("takes an empty object".into()),
    }
}

impl Accumulator for Count {
    fn argument(&self, _: &Scope<'_>) -> Result<Option<Value>, String> {
        Ok(Some(Value::Int32(1)))
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn State>, String> {
        Ok(Summed::boxed(Sum::value))
    }
}
