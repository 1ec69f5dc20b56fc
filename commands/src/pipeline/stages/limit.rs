//! `$limit` and `$skip`.

use std::sync::Arc;

use veddb_storage::document::ValueRef;

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::one;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[
    StageOperator { name: "$limit", summary: "Lets through the first rows.", place: Place::Anywhere, parse: limit },
    StageOperator { name: "$skip", summary: "Leaves out the first rows.", place: Place::Anywhere, parse: skip },
];

/// How many rows a stage lets through, or leaves out.
fn count(operand: ValueRef<'_>, least: i64) -> Result<usize, String> {
    match operand.to_value().as_integer().filter(|n| *n >= least) {
        Some(n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        None => Err(format!("needs a whole number of at least {least}")),
    }
}

fn limit(_: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Limit(count(operand, 1)?))
}

fn skip(_: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Skip(count(operand, 0)?))
}

/// `$limit`
#[derive(Debug)]
struct Limit(usize);

impl Stage for Limit {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Limited { input, left: self.0 })
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted.min(self.0)
    }
}

struct Limited {
    input: Input,
    left: usize,
}

impl Rows for Limited {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.input.next(running)
    }
}

/// `$skip`
#[derive(Debug)]
struct Skip(usize);

impl Stage for Skip {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Skipping { input, left: self.0 })
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted.saturating_add(self.0)
    }
}

struct Skipping {
    input: Input,
    left: usize,
}

impl Rows for Skipping {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        while self.left > 0 {
            self.left -= 1;
            running.step()?;
            if self.input.next(running)?.is_none() {
                return Ok(None);
            }
        }
        self.input.next(running)
    }
}
