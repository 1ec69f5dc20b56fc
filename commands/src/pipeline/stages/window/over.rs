//! `$derivative` and `$integral`: of what `input` gives, over the sort key. Dates count in `unit`s.

use std::collections::VecDeque;

use veddb_storage::document::expression::reckon::{minus, number, over, plus, times};
use veddb_storage::document::expression::{DateUnit, Expression, Scope, Sum};
use veddb_storage::document::{Value, ValueRef};

use super::bounds::{Bounds, Frame};
use super::{At, Course, Function, Read, Standing, WindowOperator};
use crate::pipeline::accumulators::size_of_value;
use crate::pipeline::parse::members;
use crate::pipeline::{Failure, Reader, Running};

pub(super) const OPERATORS: &[WindowOperator] = &[
    WindowOperator {
        name: "$derivative",
        summary: "How much `input` grows from the window's first row to its last for each `unit` of the sort key.",
        parse: |reader, operand, standing| parse(reader, operand, standing, true),
    },
    WindowOperator {
        name: "$integral",
        summary: "The area under `input` over the sort key, in `unit`s, between the window's first row and its last.",
        parse: |reader, operand, standing| parse(reader, operand, standing, false),
    },
];

#[derive(Debug)]
struct OverKey {
    derivative: bool,
    input: Expression,
    unit_ms: Option<i64>,
    bounds: Bounds,
}

fn parse(reader: &Reader<'_>, operand: ValueRef<'_>, standing: Standing<'_>, derivative: bool) -> Read {
    if standing.sort.is_none_or(|sort| sort.keys().len() != 1) {
        return Err("needs a sortBy of one key".into());
    }
    let [input, unit] = members(operand, ["input", "unit"])?;
    let input = reader.expression(input.ok_or("needs input")?)?;
    let unit_ms = match unit {
        None => None,
        Some(ValueRef::String(name)) => {
            let unit = DateUnit::named(name).and_then(DateUnit::length_ms);
            Some(unit.ok_or("unit must be of one length: week, day, hour, minute, second or millisecond")?)
        }
        Some(other) => return Err(format!("unit must be a string, not {}", other.kind().name())),
    };
    let bounds = match standing.window {
        None if derivative => return Err("needs a window".into()),
        window => window.unwrap_or(Bounds::WHOLE),
    };
    Ok(Box::new(OverKey { derivative, input, unit_ms, bounds }))
}

impl Function for OverKey {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.input.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        let frame = Frame::new(&self.bounds);
        let points = Points { unit_ms: self.unit_ms, derivative: self.derivative, all: Vec::new(), bytes: 0 };
        if self.derivative {
            return Ok(Box::new(Slope { frame, points }));
        }
        Ok(Box::new(Area { frame, points, inside: VecDeque::new(), sum: Sum::default(), to: 0 }))
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}

/// What each row gave: its key, in units, and its number, if it has one.
struct Points {
    unit_ms: Option<i64>,
    derivative: bool,
    all: Vec<(Value, Option<Value>)>,
    bytes: usize,
}

impl Points {
    fn take(&mut self, argument: Option<Value>, at: &At<'_>) -> Result<(), String> {
        let name = if self.derivative { "$derivative" } else { "$integral" };
        let key = match (at.key, self.unit_ms) {
            (Some(Value::Date(ms)), Some(_)) => Value::Int64(*ms),
            (Some(Value::Date(_)), None) => return Err(format!("{name}: a sortBy of dates needs a unit")),
            (Some(key), None) if number(key).is_some() => key.clone(),
            (other, unit) => {
                let wanted = if unit.is_some() { "a date" } else { "a number" };
                let found = other.map_or("missing", |key| key.kind().name());
                return Err(format!("{name}: sortBy must be {wanted}, not {found}"));
            }
        };
        let value = match argument {
            None | Some(Value::Null) => None,
            Some(value) if number(&value).is_some() => Some(value),
            Some(other) => return Err(format!("{name}: input must be a number, not {}", other.kind().name())),
        };
        self.bytes += size_of_value(&key) + size_of::<Option<Value>>();
        self.all.push((key, value));
        Ok(())
    }

    /// How many units lie between two keys.
    fn between(&self, from: &Value, to: &Value) -> Value {
        let between = minus(to, from);
        match self.unit_ms {
            Some(unit) => over(&between, &Value::Int64(unit)),
            None => between,
        }
    }
}

struct Slope {
    frame: Frame,
    points: Points,
}

impl Course for Slope {
    fn take(&mut self, argument: Option<Value>, at: &At<'_>) -> Result<(), String> {
        self.frame.take(at.key)?;
        self.points.take(argument, at)
    }

    fn give(&mut self, _: &Running<'_>) -> Result<Option<Value>, Failure> {
        self.frame.step();
        let inside = self.points.all.get(self.frame.start..self.frame.end).unwrap_or_default();
        let [(from, Some(first)), .., (to, Some(last))] = inside else { return Ok(Some(Value::Null)) };
        let between = self.points.between(from, to);
        if number(&between).is_none_or(|between| between == 0.0) {
            return Ok(Some(Value::Null));
        }
        Ok(Some(over(&minus(last, first), &between)))
    }

    fn bytes(&self) -> usize {
        self.frame.bytes + self.points.bytes
    }
}

struct Area {
    frame: Frame,
    points: Points,
    /// The rows in the window that have a number.
    inside: VecDeque<usize>,
    /// Of the areas between each of them and the next.
    sum: Sum,
    /// The first row that was not in the window yet.
    to: usize,
}

impl Area {
    /// The area between two rows.
    fn area(&self, from: usize, to: usize) -> Option<Value> {
        let ((from, Some(first)), (to, Some(last))) = (self.points.all.get(from)?, self.points.all.get(to)?) else {
            return None;
        };
        let height = over(&plus(first, last), &Value::Int32(2));
        Some(times(&self.points.between(from, to), &height))
    }

    fn add(&mut self, row: usize) {
        if self.points.all.get(row).is_none_or(|(_, value)| value.is_none()) {
            return;
        }
        if let Some(area) = self.inside.back().and_then(|before| self.area(*before, row)) {
            self.sum.add(&area);
        }
        self.inside.push_back(row);
    }
}

impl Course for Area {
    fn take(&mut self, argument: Option<Value>, at: &At<'_>) -> Result<(), String> {
        self.frame.take(at.key)?;
        self.points.take(argument, at)
    }

    fn give(&mut self, running: &Running<'_>) -> Result<Option<Value>, Failure> {
        self.frame.step();
        let (from, to) = (self.frame.start, self.frame.end);
        for row in self.to..to {
            running.step()?;
            self.add(row);
        }
        let mut fine = true;
        while let Some(first) = self.inside.front().copied().filter(|first| *first < from) {
            running.step()?;
            self.inside.pop_front();
            if let Some(area) = self.inside.front().and_then(|next| self.area(first, *next)) {
                fine &= self.sum.remove(&area);
            }
        }
        self.to = to;
        if !fine {
            self.sum = Sum::default();
            self.inside.clear();
            for row in from..to {
                running.step()?;
                self.add(row);
            }
        }
        Ok(Some(if self.inside.is_empty() { Value::Null } else { self.sum.value() }))
    }

    fn bytes(&self) -> usize {
        self.frame.bytes + self.points.bytes + self.inside.len() * size_of::<usize>()
    }
}
