//! `$documents`: rows that the pipeline itself brings.

use std::sync::Arc;

use veddb_storage::document::{Value, ValueRef};

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::one;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};
use veddb_storage::document::expression::Expression;
use veddb_storage::document::{Object, codec};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$documents",
    summary: "Brings documents of its own instead of those of a collection.",
    place: Place::First,
    parse,
}];

/// `$documents`
#[derive(Debug)]
struct Documents {
    list: Expression,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Documents { list: reader.expression(operand)? })
}

impl Stage for Documents {
    fn open(self: Arc<Self>, _: Input, _: &Opening<'_>) -> Input {
        Box::new(Bringing { stage: self, rows: None })
    }
}

struct Bringing {
    stage: Arc<Documents>,
    rows: Option<std::vec::IntoIter<Value>>,
}

impl Rows for Bringing {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => {
                let empty = Row::of(&Object::default());
                let list = self.stage.list.evaluate(&running.scope(empty.root()))?;
                let Some(Value::Array(list)) = list else {
                    return Err(Failure::Stage("needs an array of objects".into()));
                };
                self.rows.insert(list.into_iter())
            }
        };
        match rows.next() {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Row::Made(codec::pack_object(&object)))),
            Some(other) => Err(Failure::Stage(format!("needs an array of objects, not of {}", other.kind().name()))),
        }
    }
}
