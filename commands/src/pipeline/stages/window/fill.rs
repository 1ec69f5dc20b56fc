//! `$locf` and `$linearFill`: values in place of those that are null or missing.

use std::collections::VecDeque;

use veddb_storage::document::expression::reckon::{minus, number, over, plus, times};
use veddb_storage::document::expression::{Expression, Scope};
use veddb_storage::document::{Value, ValueRef};

use super::{At, Course, Function, Read, Standing, WindowOperator};
use crate::pipeline::accumulators::size_of_value;
use crate::pipeline::{Failure, Reader, Running};

pub(super) const OPERATORS: &[WindowOperator] = &[
    WindowOperator {
        name: "$locf",
        summary: "The value, or the last before it that is not null or missing.",
        parse: |reader, operand, standing| {
            standing.no_window()?;
            Ok(Box::new(Carry(reader.expression(operand)?)))
        },
    },
    WindowOperator {
        name: "$linearFill",
        summary: "The number; where it is null or missing, one on the line between its neighbours, by the sort key.",
        parse: line,
    },
];

#[derive(Debug)]
struct Carry(Expression);

impl Function for Carry {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.0.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        Ok(Box::new(Carried(Value::Null)))
    }

    fn looks_ahead(&self) -> bool {
        false
    }
}

/// The last value.
struct Carried(Value);

impl Course for Carried {
    fn take(&mut self, argument: Option<Value>, _: &At<'_>) -> Result<(), String> {
        if let Some(value) = argument.filter(|value| !matches!(value, Value::Null)) {
            self.0 = value;
        }
        Ok(())
    }

    fn give(&mut self, _: &Running<'_>) -> Result<Option<Value>, Failure> {
        Ok(Some(self.0.clone()))
    }

    fn bytes(&self) -> usize {
        size_of_value(&self.0)
    }
}

#[derive(Debug)]
struct Line(Expression);

fn line(reader: &Reader<'_>, operand: ValueRef<'_>, standing: Standing<'_>) -> Read {
    standing.no_window()?;
    if standing.sort.is_none_or(|sort| sort.keys().len() != 1) {
        return Err("needs a sortBy of one key".into());
    }
    Ok(Box::new(Line(reader.expression(operand)?)))
}

impl Function for Line {
    fn argument(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        self.0.evaluate(scope).map_err(|error| error.0)
    }

    fn start(&self, _: &Scope<'_>) -> Result<Box<dyn Course>, String> {
        Ok(Box::new(Between { points: VecDeque::new(), left: None, right: None, at: 0, bytes: 0 }))
    }

    fn looks_ahead(&self) -> bool {
        true
    }
}

/// A key as a number of its axis, and what the input gave there.
type Point = (Value, Value);

struct Between {
    /// This row and those after it.
    points: VecDeque<Point>,
    /// The last point with a number.
    left: Option<Point>,
    /// The next one and the number of its row.
    right: Option<(usize, Point)>,
    at: usize,
    bytes: usize,
}

impl Course for Between {
    fn take(&mut self, argument: Option<Value>, at: &At<'_>) -> Result<(), String> {
        let key = match at.key {
            Some(Value::Date(ms)) => Value::Int64(*ms),
            Some(key) if number(key).is_some() => key.clone(),
            other => {
                let found = other.map_or("missing", |key| key.kind().name());
                return Err(format!("$linearFill: sortBy must be a number or a date, not {found}"));
            }
        };
        if at.tied {
            return Err("$linearFill: no two rows of a partition may have the same sortBy".into());
        }
        let value = match argument {
            None | Some(Value::Null) => Value::Null,
            Some(value) if number(&value).is_some() => value,
            Some(other) => return Err(format!("$linearFill: needs numbers, not {}", other.kind().name())),
        };
        self.bytes += size_of_value(&key) + size_of_value(&value);
        self.points.push_back((key, value));
        Ok(())
    }

    fn give(&mut self, running: &Running<'_>) -> Result<Option<Value>, Failure> {
        let Some((key, value)) = self.points.pop_front() else { return Ok(None) };
        self.bytes -= size_of_value(&key) + size_of_value(&value);
        let at = self.at;
        self.at += 1;
        if !matches!(value, Value::Null) {
            self.left = Some((key, value.clone()));
            return Ok(Some(value));
        }
        let Some((left_key, left)) = &self.left else { return Ok(Some(Value::Null)) };
        if self.right.as_ref().is_none_or(|(row, _)| *row <= at) {
            self.right = None;
            for (away, point) in self.points.iter().enumerate() {
                running.step()?;
                if !matches!(point.1, Value::Null) {
                    self.right = Some((at + 1 + away, point.clone()));
                    break;
                }
            }
        }
        let Some((_, (right_key, right))) = &self.right else {
            // No number comes any more.
            self.left = None;
            return Ok(Some(Value::Null));
        };
        let part = over(&minus(&key, left_key), &minus(right_key, left_key));
        Ok(Some(plus(left, &times(&minus(right, left), &part))))
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}
