//! `$replaceRoot` and `$replaceWith`.

use std::sync::Arc;

use veddb_storage::document::expression::Expression;
use veddb_storage::document::{Value, ValueRef};

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::{object, one};
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[
    StageOperator {
        name: "$replaceRoot",
        summary: "Puts what `newRoot` makes in the place of each row.",
        place: Place::Anywhere,
        parse: root,
    },
    StageOperator {
        name: "$replaceWith",
        summary: "Puts what an expression makes in the place of each row.",
        place: Place::Anywhere,
        parse: with,
    },
];

/// `$replaceWith`
#[derive(Debug)]
struct Replace {
    expression: Expression,
}

fn with(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Replace { expression: reader.expression(operand)? })
}

fn root(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let mut members = object(operand)?.iter();
    match (members.next(), members.next()) {
        (Some(("newRoot", expression)), None) => with(reader, expression),
        _ => Err("needs newRoot and nothing else".into()),
    }
}

impl Stage for Replace {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Replacing { stage: self, input })
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted
    }
}

struct Replacing {
    stage: Arc<Replace>,
    input: Input,
}

impl Rows for Replacing {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let Some(row) = self.input.next(running)? else { return Ok(None) };
        match self.stage.expression.evaluate(&running.scope(row.root()))? {
            Some(Value::Object(object)) => Ok(Some(Row::of(&object))),
            Some(other) => Err(Failure::Stage(format!("makes a value of type {}, not an object", other.kind().name()))),
            None => Err(Failure::Stage("makes nothing, not an object".into())),
        }
    }
}
