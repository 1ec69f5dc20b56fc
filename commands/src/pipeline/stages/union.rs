//! `$unionWith`: the rows of a pipeline on another collection after one's own.

use std::sync::Arc;

use veddb_storage::document::ValueRef;

use super::{Parsed, Place, StageOperator};
use crate::pipeline::parse::one;
use crate::pipeline::{Failure, Input, Opening, Pipeline, Reader, Row, Rows, Running, Stage};

pub(super) const STAGES: &[StageOperator] = &[StageOperator {
    name: "$unionWith",
    summary: "Appends the documents of another collection, or what a pipeline makes of them.",
    place: Place::Anywhere,
    parse,
}];

/// `$unionWith`
#[derive(Debug)]
struct Union {
    /// None where the pipeline brings its own documents.
    from: Option<String>,
    pipeline: Pipeline,
}

fn parse(reader: &mut Reader<'_>, operand: ValueRef<'_>) -> Parsed {
    let (mut from, mut list) = (None, None);
    match operand {
        ValueRef::String(name) => from = Some(name),
        ValueRef::Object(object) => {
            for (name, value) in object.iter() {
                match (name, value) {
                    ("coll", ValueRef::String(name)) => from = Some(name),
                    ("coll", _) => return Err("coll needs a string".into()),
                    ("pipeline", ValueRef::Array(stages)) => list = Some(stages),
                    ("pipeline", _) => return Err("pipeline needs an array".into()),
                    _ => return Err(format!("does not take {name}")),
                }
            }
        }
        other => return Err(format!("needs a collection's name or an object, not {}", other.kind().name())),
    }
    let pipeline = list.map(|list| reader.inner("$unionWith", list, Vec::new())).transpose()?.unwrap_or_default();
    let from = match from {
        Some("") => return Err("coll needs the name of a collection".into()),
        Some(_) if pipeline.brings_rows() => {
            return Err("coll cannot stand beside a pipeline that begins with $documents".into());
        }
        Some(name) => {
            reader.named.push((name.to_owned(), false));
            Some(name.to_owned())
        }
        None if pipeline.brings_rows() => None,
        None => return Err("needs coll".into()),
    };
    one(Union { from, pipeline })
}

impl Stage for Union {
    fn open(self: Arc<Self>, input: Input, _: &Opening<'_>) -> Input {
        Box::new(Uniting { stage: self, input, second: false })
    }

    fn takes(&self, wanted: usize) -> usize {
        wanted
    }
}

struct Uniting {
    stage: Arc<Union>,
    input: Input,
    /// The input is the other collection's.
    second: bool,
}

impl Rows for Uniting {
    fn next(&mut self, running: &Running<'_>) -> Result<Option<Row>, Failure> {
        loop {
            let next = self.input.next(running);
            let next = if self.second { next.map_err(Failure::inside)? } else { next? };
            if next.is_some() || self.second {
                return Ok(next);
            }
            self.second = true;
            let context = running.context;
            let collection = self.stage.from.as_ref().and_then(|name| context.view.collection(context.db, name));
            self.input = self.stage.pipeline.plan(collection, running)?.open(running)?;
        }
    }
}
