//! `$redact`: keeps, leaves out or looks into a document and the documents in it.

use std::sync::Arc;

use veddb_storage::document::expression::{Expression, Scope};
use veddb_storage::document::{Object, Value, ValueRef};

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::one;
use crate::pipeline::{Failure, Input, Opening, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$redact",
    summary: "Keeps (`$$KEEP`), leaves out (`$$PRUNE`) or looks into (`$$DESCEND`) a document and those in it.",
    place: Place::Anywhere,
    parse,
}];

/// Variables of the expression: the document at hand and what may be said of it.
const VARIABLES: [&str; 4] = ["CURRENT", "DESCEND", "PRUNE", "KEEP"];

/// `$redact`
#[derive(Debug)]
struct Redact {
    expression: Expression,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    one(Redact { expression: reader.expression_with(operand, &VARIABLES)? })
}

impl Redact {
    // The document's depth bounds the recursion.
    fn redact(&self, mut object: Object, root: &Row, running: &Running<'_>) -> Result<Option<Object>, Failure> {
        let mut variables = running.variables.to_vec();
        variables.push(Some(Value::Object(object.clone())));
        variables.extend(VARIABLES.iter().skip(1).map(|name| Some(Value::String((*name).to_owned()))));
        let scope = Scope { variables: &variables, ..running.scope(root.root()) };
        match self.expression.evaluate(&scope)? {
            Some(Value::String(answer)) if answer == "KEEP" => Ok(Some(object)),
            Some(Value::String(answer)) if answer == "PRUNE" => Ok(None),
            Some(Value::String(answer)) if answer == "DESCEND" => {
                let mut kept = Vec::with_capacity(object.0.len());
                for (name, value) in std::mem::take(&mut object.0) {
                    if let Some(value) = self.inside(value, root, running)? {
                        kept.push((name, value));
                    }
                }
                Ok(Some(Object(kept)))
            }
            _ => Err(Failure::Stage("needs an expression that gives $$KEEP, $$PRUNE or $$DESCEND".into())),
        }
    }

    fn inside(&self, value: Value, root: &Row, running: &Running<'_>) -> Result<Option<Value>, Failure> {
        Ok(match value {
            Value::Object(object) => self.redact(object, root, running)?.map(Value::Object),
            Value::Array(elements) => {
                let mut kept = Vec::with_capacity(elements.len());
                for element in elements {
                    kept.extend(self.inside(element, root, running)?);
                }
                Some(Value::Array(kept))
            }
            other => Some(other),
        })
    }
}

impl Stage for Redact {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Redacting { stage: self, input })
    }
}

struct Redacting {
    stage: Arc<Redact>,
    input: Input,
}

impl Rows for Redacting {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        while let Some(row) = self.input.next(running)? {
            running.step()?;
            if let Some(object) = self.stage.redact(row.root().to_object(), &row, running)? {
                return Ok(Some(Row::of(&object)));
            }
        }
        Ok(None)
    }
}
