//! `$shift` and `$expMovingAvg`: what other rows of the partition gave.

use std::collections::VecDeque;

use veddb_storage::document::expression::reckon::{minus, number, over, plus, times};
use veddb_storage::document::expression::{Expression, Scope};
use veddb_storage::document::{Value, ValueRef};

use super::{At, Course, Function, Read, Standing, WindowOperator};
use crate::pipeline::accumulators::size_of_value;
use crate::pipeline::parse::members;
use crate::pipeline::{Failure, Reader, Running};

pub(super) const OPERATORS: &[WindowOperator] = &[
    WindowOperator {
        name: "$shift",
        summary: "What `output` gives for the row `by` rows after this one; `default` (null) where there is none.",
        parse: shift,
    },
    WindowOperator {
        name: "$expMovingAvg",
        summary: "The mean of the numbers that `input` gave so far; each later one weighs more, by `N` rows or by `alpha`.",
        parse: average,
    },
];

#[derive(Debug)]
struct Shift {
    output: Expression,
    by: i64,
    default: Value,
}

fn shift(reader: &Reader<'_>, operand: ValueRef<'_>, standing: Standing<'_>) -> Read {
    standing.no_window()?;
    if standing.sort.is_none() {
        return Err("needs a sortBy".into());
    }
    let [output, by, default] = members(operand, ["output", "by", "default"])?;
    let output = reader.expression(output.ok_or("needs output")?)?;
    let by = by.ok_or("needs by")?.to_value().as_integer().filter(|by| i32::try_from(*by).is_ok());
    let by = by.ok_or("by must be a whole number")?;
    let default = default.map(|default| reader.expression(default)).transpose()?;
    let default = match &default {
        None => Value::Null,
        Some(default) => default.as_constant().cloned().ok_or("default must be constant")?,
    };
    Ok(Box::new(Shift { output, by, default }))
}

impl Function for Shift {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.output.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        let rows = usize::try_from(self.by.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(Box::new(Shifted {
            ahead: self.by > 0,
            rows,
            default: self.default.clone(),
            held: VecDeque::new(),
            bytes: 0,
        }))
    }

    fn looks_ahead(&self) -> bool {
        self.by > 0
    }
}

struct Shifted {
    ahead: bool,
    rows: usize,
    default: Value,
    /// Looking back: what the last rows gave, this one's last. Looking ahead: what this one and all after it give.
    held: VecDeque<Option<Value>>,
    bytes: usize,
}

fn size(value: &Option<Value>) -> usize {
    value.as_ref().map_or(size_of::<Option<Value>>(), size_of_value)
}

impl Shifted {
    fn drop_first(&mut self) {
        self.bytes -= self.held.pop_front().as_ref().map_or(0, size);
    }
}

impl Course for Shifted {
    fn take(&mut self, argument: Option<Value>, _: &At<'_>) -> Result<(), String> {
        self.bytes += size(&argument);
        self.held.push_back(argument);
        if !self.ahead && self.held.len() > self.rows + 1 {
            self.drop_first();
        }
        Ok(())
    }

    fn give(&mut self, _: &Running<'_>) -> Result<Option<Value>, Failure> {
        let found = if self.ahead {
            self.held.get(self.rows)
        } else {
            self.held.front().filter(|_| self.held.len() > self.rows)
        };
        let value = found.map_or_else(|| Some(self.default.clone()), Clone::clone);
        if self.ahead {
            self.drop_first();
        }
        Ok(value)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Debug)]
struct Average {
    input: Expression,
    /// What the newest number weighs.
    alpha: Value,
}

fn average(reader: &Reader<'_>, operand: ValueRef<'_>, standing: Standing<'_>) -> Read {
    standing.no_window()?;
    if standing.sort.is_none() {
        return Err("needs a sortBy".into());
    }
    let [input, n, alpha] = members(operand, ["input", "N", "alpha"])?;
    let input = reader.expression(input.ok_or("needs input")?)?;
    let alpha = match (n, alpha) {
        (Some(n), None) => {
            let n = n.to_value().as_integer().filter(|n| *n > 0).ok_or("N must be a whole number greater than zero")?;
            over(&Value::Int32(2), &plus(&Value::Int64(n), &Value::Int32(1)))
        }
        (None, Some(alpha)) => {
            let alpha = alpha.to_value();
            if !number(&alpha).is_some_and(|alpha| alpha > 0.0 && alpha < 1.0) {
                return Err("alpha must be a number between 0 and 1".into());
            }
            alpha
        }
        _ => return Err("needs either N or alpha".into()),
    };
    Ok(Box::new(Average { input, alpha }))
}

impl Function for Average {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.input.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        let rest = minus(&Value::Int32(1), &self.alpha);
        Ok(Box::new(Averaging { alpha: self.alpha.clone(), rest, mean: None }))
    }

    fn looks_ahead(&self) -> bool {
        false
    }
}

struct Averaging {
    alpha: Value,
    rest: Value,
    mean: Option<Value>,
}

impl Course for Averaging {
    fn take(&mut self, argument: Option<Value>, _: &At<'_>) -> Result<(), String> {
        let Some(value) = argument.filter(|value| number(value).is_some()) else { return Ok(()) };
        self.mean = Some(match &self.mean {
            None => value,
            Some(mean) => plus(&times(&value, &self.alpha), &times(mean, &self.rest)),
        });
        Ok(())
    }

    fn give(&mut self, _: &Running<'_>) -> Result<Option<Value>, Failure> {
        Ok(Some(self.mean.clone().unwrap_or(Value::Null)))
    }
}
