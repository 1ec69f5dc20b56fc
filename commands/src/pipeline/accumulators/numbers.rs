//! `$sum`, `$avg` and `$count`: of the numbers among the values.

use veddb_storage::document::expression::{Scope, Sum};
use veddb_storage::document::{Value, ValueRef};

use super::{Accumulator, AccumulatorOperator, Parsed, Plain, State};
use crate::pipeline::Reader;

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$sum",
        summary: "The sum of the numbers.",
        parse: |reader, operand| Plain::parse(reader, operand, || Box::<Summed>::default()),
    },
    AccumulatorOperator {
        name: "$avg",
        summary: "The mean of the numbers; null if there is none.",
        parse: |reader, operand| Plain::parse(reader, operand, || Box::<Mean>::default()),
    },
    AccumulatorOperator { name: "$count", summary: "How many rows there are.", parse: count },
];

#[derive(Debug, Default)]
struct Summed(Sum);

impl State for Summed {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        value.iter().for_each(|value| self.0.add(value));
        Ok(0)
    }

    fn save(&self) -> Value {
        self.0.save()
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        self.0.absorb(&saved);
        Ok(0)
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(self.0.value()))
    }

    fn remove(&mut self, value: &Option<Value>) -> bool {
        value.as_ref().is_none_or(|value| self.0.remove(value))
    }
}

#[derive(Debug, Default)]
struct Mean(Sum);

impl State for Mean {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        value.iter().for_each(|value| self.0.add(value));
        Ok(0)
    }

    fn save(&self) -> Value {
        self.0.save()
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        self.0.absorb(&saved);
        Ok(0)
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(self.0.mean()))
    }

    fn remove(&mut self, value: &Option<Value>) -> bool {
        value.as_ref().is_none_or(|value| self.0.remove(value))
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
        Ok(Box::<Summed>::default())
    }
}
