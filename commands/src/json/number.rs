//! What JSON.NUMINCRBY and JSON.NUMMULTBY share.
//!
//! Two integers make an integer; where it has no 64 bits the command is refused, as newer RedisJSON does (2.8 lets it wrap around).

use veddb_storage::document::json::render_value;
use veddb_storage::document::{Value, ValueRef};

use super::parse;
use super::path::Path;
use super::update::{Change, Target, answer};
use crate::args::Args;
use crate::context::{Prepared, WriteContext};
use crate::error::CommandError;
use crate::reply::Reply;

/// An operation on two numbers.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) integers: fn(i64, i64) -> Option<i64>,
    pub(super) doubles: fn(f64, f64) -> f64,
}

/// A number as the operations see it.
#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    fn of(value: ValueRef<'_>) -> Option<Number> {
        match value {
            ValueRef::Int32(n) => Some(Number::Integer(i64::from(n))),
            ValueRef::Int64(n) => Some(Number::Integer(n)),
            ValueRef::Double(n) => Some(Number::Double(n)),
            _ => None,
        }
    }

    fn double(self) -> f64 {
        match self {
            Number::Integer(n) => n as f64,
            Number::Double(n) => n,
        }
    }
}

const CHANGE: Change =
    Change { fits: |value| Number::of(value).is_some(), otherwise: "does not contains a number", inner_first: false };

impl Operation {
    fn apply(self, value: &mut Value, operand: Number) -> Result<Number, CommandError> {
        let current = match value {
            Value::Int32(n) => Number::Integer(i64::from(*n)),
            Value::Int64(n) => Number::Integer(*n),
            Value::Double(n) => Number::Double(*n),
            // Only numbers fit.
            _ => Number::Integer(0),
        };
        let result = match (current, operand) {
            (Number::Integer(a), Number::Integer(b)) => {
                let result = (self.integers)(a, b).ok_or_else(|| CommandError::err("numeric overflow"))?;
                Number::Integer(result)
            }
            (a, b) => Number::Double((self.doubles)(a.double(), b.double())),
        };
        *value = match result {
            Number::Integer(n) => Value::integer(n),
            Number::Double(n) if n.is_finite() => Value::Double(n),
            Number::Double(_) => return Err(CommandError::err("result is not a number")),
        };
        Ok(result)
    }

    /// What the commands do: the key, the path and the number are the arguments.
    pub(super) fn run(
        self,
        args: &Args,
        context: &WriteContext<'_>,
        event: &'static str,
    ) -> Result<Prepared, CommandError> {
        let (target, path) = (Target::new(args, context, event), Path::parse(args.bytes(2))?);
        let operand = parse(args.bytes(3), context.limits)?;
        let operand = Number::of(operand.get()).ok_or_else(|| CommandError::err("bad input number"))?;
        let resp3 = context.resp3;
        Ok(Prepared::Unit(Box::new(move |tx| {
            let outcomes = target.change(tx, &path, &CHANGE, |value| self.apply(value, operand))?;
            if resp3 {
                return Ok(Reply::Array(outcomes.into_iter().map(as_number).collect()));
            }
            if path.legacy {
                let outcomes = outcomes.into_iter().map(|outcome| outcome.map(as_text)).collect();
                return answer(&path, &path.text, &CHANGE, outcomes);
            }
            let mut text = b"[".to_vec();
            for (at, outcome) in outcomes.into_iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                put(&mut text, outcome);
            }
            text.push(b']');
            Ok(Reply::Bulk(text.into()))
        })))
    }
}

/// Under RESP3 a number is one.
fn as_number(outcome: Option<Number>) -> Reply {
    match outcome {
        None => Reply::Null,
        Some(Number::Integer(n)) => Reply::Integer(n),
        Some(Number::Double(n)) => Reply::Double(n),
    }
}

/// Under RESP2 it is JSON text.
fn as_text(number: Number) -> Reply {
    let mut text = Vec::new();
    put(&mut text, Some(number));
    Reply::Bulk(text.into())
}

fn put(out: &mut Vec<u8>, outcome: Option<Number>) {
    render_value(
        out,
        match outcome {
            None => ValueRef::Null,
            Some(Number::Integer(n)) => ValueRef::Int64(n),
            Some(Number::Double(n)) => ValueRef::Double(n),
        },
    );
}
