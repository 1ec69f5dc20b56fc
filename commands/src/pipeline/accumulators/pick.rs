//! `$first`, `$last`, `$min` and `$max`: one of the values.

use veddb_storage::document::Value;
use veddb_storage::document::order::compare_values;

use super::{AccumulatorOperator, Grown, Plain, State, size_of_value};

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$first",
        summary: "The value of the first row.",
        parse: |reader, operand| Plain::parse(reader, operand, || Picked::boxed(|_, _| false, true)),
    },
    AccumulatorOperator {
        name: "$last",
        summary: "The value of the last row.",
        parse: |reader, operand| Plain::parse(reader, operand, || Picked::boxed(|_, _| true, true)),
    },
    AccumulatorOperator {
        name: "$min",
        summary: "The least value; null if there is none.",
        parse: |reader, operand| {
            Plain::parse(reader, operand, || Picked::boxed(|new, old| compare_values(new, old).is_lt(), false))
        },
    },
    AccumulatorOperator {
        name: "$max",
        summary: "The greatest value; null if there is none.",
        parse: |reader, operand| {
            Plain::parse(reader, operand, || Picked::boxed(|new, old| compare_values(new, old).is_gt(), false))
        },
    },
];

#[derive(Debug)]
struct Picked {
    held: Option<Value>,
    /// Whether the new one takes the place of the old one.
    wins: fn(&Value, &Value) -> bool,
    /// Null and missing count as well.
    nulls: bool,
    grown: Grown,
}

impl Picked {
    fn boxed(wins: fn(&Value, &Value) -> bool, nulls: bool) -> Box<dyn State> {
        Box::new(Picked { held: None, wins, nulls, grown: Grown::default() })
    }
}

impl State for Picked {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let value = value.unwrap_or(Value::Null);
        if !self.nulls && matches!(value, Value::Null) {
            return Ok(0);
        }
        if self.held.as_ref().is_some_and(|held| !(self.wins)(&value, held)) {
            return Ok(0);
        }
        let size = size_of_value(&value);
        self.held = Some(value);
        Ok(self.grown.to(size))
    }

    fn save(&self) -> Value {
        Value::Array(self.held.iter().cloned().collect())
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Value::Array(values) = saved else { return Ok(0) };
        values.into_iter().map(|value| self.add(Some(value))).sum()
    }

    fn value(&self) -> Result<Option<Value>, String> {
        Ok(Some(self.held.clone().unwrap_or(Value::Null)))
    }
}
